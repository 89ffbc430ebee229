-- record: keep news of running jobs. See `Queue.record`.
--
-- Input: {notes}, each {id, token, progress, message, metadata, checkpoint, steps, logs, artifact,
-- ms since its function began}.
-- `metadata` and `steps` are arrays of JSON names and values, `logs` of lines as JSON, `artifact` is
-- {name, description as JSON, place of its bytes: 1 is ARGV[3]}. Answers per note: 1 kept, 0 the lease was lost.

local HAS_METADATA, HAS_CHECKPOINT, HAS_STEPS, HAS_LOGS, HAS_ARTIFACTS = 1, 2, 4, 8, 16

local notes = input[1]
local ids = {}
for i = 1, #notes do
  ids[i] = notes[i][1]
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
  local d = st.d or 0
  return bit.bor(d, flag)
end

local function object(key, st, flag)
  return bit.band(st.d or 0, flag) ~= 0 and merge(key, {}) or '{}'
end

local function checkpoint_of(id, st)
  if checkpoints[id] then
    return checkpoints[id]
  end
  if bit.band(st.d or 0, HAS_CHECKPOINT) == 0 then
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
    write('RPUSH', key, (st.a or 0) .. ' ' .. lines[i])
    size = size + #lines[i]
  end
  return { first, lines }, size
end

local function keep_note(id, st, note)
  local progress, message, metadata, checkpoint = note[3], note[4], note[5], note[6]
  local steps, logs, artifact = note[7], note[8], note[9]
  local b = began(st, note[10])
  local news = b ~= st.b
  local function tell(kind, extra, size)
    extra.b = news and ago(st) or nil -- the first event of the note tells it
    news = false
    event(kind, id, st, extra, size)
  end
  if progress then
    st = changed(st, { b = b, p = progress, m = message or st.m })
    tell(E.PROGRESS, { p = st.p, m = st.m })
  end
  if metadata then
    st = changed(st, { b = b, d = flagged(st, HAS_METADATA) })
    local whole = merge(K.metadata .. id, metadata)
    tell(E.METADATA, { M = whole }, #whole)
  end
  if checkpoint or steps then
    local flags = bit.bor(checkpoint and HAS_CHECKPOINT or 0, steps and HAS_STEPS or 0)
    st = changed(st, { b = b, d = flagged(st, flags) })
    if checkpoint then
      checkpoints[id] = checkpoint
      collect('SET', K.checkpoint .. id)[1] = checkpoint
    end
    local whole = steps and merge(K.steps .. id, steps) or object(K.steps .. id, st, HAS_STEPS)
    local last = checkpoint_of(id, st)
    tell(E.CHECKPOINT, { C = last, S = whole }, #whole + (last and #last or 0))
  end
  if logs then
    st = changed(st, { b = b, d = flagged(st, HAS_LOGS) })
    local told, size = keep_logs(id, st, logs)
    tell(E.LOG, { l = told }, size)
  end
  if artifact then
    st = changed(st, { b = b, d = flagged(st, HAS_ARTIFACTS) })
    write_pair('HSET', K.artifacts .. id, artifact[1], artifact[2])
    write_pair('HSET', K.artifact_data .. id, artifact[1], ARGV[2 + artifact[3]])
    tell(E.ARTIFACT, { F = artifact[2] })
  end
  if news then
    st = changed(st, { b = b })
    tell(E.BEGUN, {})
  end
  return st
end

local answers, latest = {}, {}
for i = 1, #notes do
  local id = ids[i]
  local st = latest[id] or (found[i] and state_from(found[i]))
  if st and st.s == S.RUNNING and st.t == notes[i][2] then
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
