-- Reading jobs: shared by get, watch and claim.

-- What stands under a key of a job's own; `none` where that is nothing, or somebody else's: that must
-- not keep the job, and all behind it, from its worker.
local function own(command, key, none)
  local found = redis.pcall(command, key)
  return found and not (type(found) == 'table' and found.err) and found or none
end

-- What a job has beside blob and state, as MessagePack of {metadata, checkpoint, steps}, the first and
-- the last as arrays of names and values; '' when it has none of them.
local function extra_of(id, st)
  local parts = st.parts or 0 -- of a broken state, nothing
  if bit.band(parts, PART.SHOWN) == 0 then
    return ''
  end
  return cmsgpack.pack({
    bit.band(parts, PART.METADATA) ~= 0 and own('HGETALL', K.metadata .. id, {}) or {},
    bit.band(parts, PART.CHECKPOINT) ~= 0 and own('GET', K.checkpoint .. id, '') or '',
    bit.band(parts, PART.STEPS) ~= 0 and own('HGETALL', K.steps .. id, {}) or {},
  })
end

-- A job as {blob, state or '', extra}; empty parts when it isn't stored.
local function whole(id)
  local blob = redis.call('HGET', K.jobs, id)
  if not blob then
    return { '', '', '' }
  end
  local text = redis.call('HGET', K.states, id)
  return { blob, text or '', extra_of(id, state_from(text)) }
end
