-- record: keep news of running jobs. See `Queue.record`.
--
-- Input: {notes}, and in ARGV the bytes of their artifacts. Answers per note: 1 kept, 0 the lease was
-- lost.

local notes = input[1]
local ids = {}
for i = 1, #notes do
  ids[i] = notes[i][NOTE.id]
end
local found = hmget(K.states, ids)

-- Fields that this batch has written to a job's hashes, over what is stored.
local merged = {}

-- Merge names and values into a hash of JSON values; the whole as a JSON object.
local function merge(key, news)
  local whole = merged[key]
  if not whole then
    whole = { names = {}, values = {} }
    check_type(key, 'hash')
    local stored = redis.call('HGETALL', key)
    for i = 1, #stored, 2 do
      whole.names[#whole.names + 1] = stored[i]
      whole.values[stored[i]] = stored[i + 1]
    end
    merged[key] = whole
  end
  for i = 1, #news, 2 do
    if not whole.values[news[i]] then
      whole.names[#whole.names + 1] = news[i]
    end
    whole.values[news[i]] = news[i + 1]
    write_pair('HSET', key, news[i], news[i + 1])
  end
  local parts = {}
  for i, name in ipairs(whole.names) do
    parts[i] = name .. ':' .. whole.values[name]
  end
  return '{' .. table.concat(parts, ',') .. '}'
end

local checkpoints, lengths = {}, {}

local function flagged(st, flag)
  return bit.bor(st.parts, flag)
end

local function object(key, st, flag)
  return bit.band(st.parts, flag) ~= 0 and merge(key, {}) or '{}'
end

local function checkpoint_of(id, st)
  if checkpoints[id] then
    return checkpoints[id]
  end
  if bit.band(st.parts, PART.CHECKPOINT) == 0 then
    return nil
  end
  check_type(K.checkpoint .. id, 'string')
  return redis.call('GET', K.checkpoint .. id) or nil
end

local function keep_logs(id, st, lines)
  local key = K.logs .. id
  check_type(key, 'list')
  local first = (lengths[id] or redis.call('LLEN', key)) + 1
  lengths[id] = first + #lines - 1
  local size = 0
  for i = 1, #lines do
    write('RPUSH', key, st.attempt .. ' ' .. lines[i])
    size = size + #lines[i]
  end
  return { first, lines }, size
end

local function keep_note(id, st, note)
  local progress, message, metadata = note[NOTE.progress], note[NOTE.progress_message], note[NOTE.metadata]
  local checkpoint, steps = note[NOTE.checkpoint], note[NOTE.steps]
  local logs, artifact = note[NOTE.logs], note[NOTE.artifact]
  local b = began(st, note[NOTE.began_ms_ago])
  local news = b ~= st.started_at
  local function tell(kind, told, size)
    told[NEWS.began_ms_ago] = news and ago(st) or nil -- the first event of the note tells it
    news = false
    event(kind, id, st, told, size)
  end
  if progress then
    st = changed(st, {
      started_at = b, progress = progress, progress_message = message or st.progress_message,
    })
    tell(E.PROGRESS, { [NEWS.progress] = st.progress, [NEWS.progress_message] = st.progress_message })
  end
  if metadata then
    st = changed(st, { started_at = b, parts = flagged(st, PART.METADATA) })
    local whole = merge(K.metadata .. id, metadata)
    tell(E.METADATA, { [NEWS.metadata] = whole }, #whole)
  end
  if checkpoint or steps then
    local flags = bit.bor(checkpoint and PART.CHECKPOINT or 0, steps and PART.STEPS or 0)
    st = changed(st, { started_at = b, parts = flagged(st, flags) })
    if checkpoint then
      checkpoints[id] = checkpoint
      collect('SET', K.checkpoint .. id)[1] = checkpoint
    end
    local whole = steps and merge(K.steps .. id, steps) or object(K.steps .. id, st, PART.STEPS)
    local last = checkpoint_of(id, st)
    local size = #whole + (last and #last or 0)
    tell(E.CHECKPOINT, { [NEWS.checkpoint] = last, [NEWS.steps] = whole }, size)
  end
  if logs then
    st = changed(st, { started_at = b, parts = flagged(st, PART.LOGS) })
    local told, size = keep_logs(id, st, logs)
    tell(E.LOG, { [NEWS.logs] = told }, size)
  end
  if artifact then
    st = changed(st, { started_at = b, parts = flagged(st, PART.ARTIFACTS) })
    write_pair('HSET', K.artifacts .. id, artifact[1], artifact[2])
    write_pair('HSET', K.artifact_data .. id, artifact[1], ARGV[2 + artifact[3]])
    tell(E.ARTIFACT, { [NEWS.artifact] = artifact[2] })
  end
  if news then
    st = changed(st, { started_at = b })
    tell(E.BEGUN, {})
  end
  return st
end

local answers, latest = {}, {}
for i = 1, #notes do
  local id = ids[i]
  local st = latest[id] or (found[i] and state_from(found[i]))
  if st and st.status == S.RUNNING and st.token == notes[i][NOTE.token] then
    answers[i] = 1
    latest[id] = keep_note(id, st, notes[i])
  else
    answers[i] = 0
  end
end
for id, st in pairs(latest) do
  save(id, st)
end
commit()
return answers
