-- Removing finished jobs and all that belongs to them: shared by delete and sweep.

-- A job that was cancelled while it waited has left its member in its lane's list, where a claim
-- passes over it. Where no claim comes, it goes with the job, as do such members behind it.
local left_lanes = {}

local function clear_lanes()
  for lane in pairs(left_lanes) do
    for _ = 1, CHUNK do
      local first = redis.pcall('LINDEX', K.fresh .. lane, 0)
      if type(first) ~= 'string' or redis.call('HEXISTS', K.jobs, string.sub(first, ID_AT)) == 1 then
        break
      end
      redis.call('LPOP', K.fresh .. lane)
    end
  end
  left_lanes = {}
end

afterwards[#afterwards + 1] = clear_lanes

local emptied = {} -- jobs whose other keys go once all else is written

local function clear_parts()
  for _, id in ipairs(emptied) do
    for _, part in ipairs({ K.metadata, K.checkpoint, K.steps, K.logs, K.artifacts, K.artifact_data }) do
      redis.call('DEL', part .. id)
    end
  end
  emptied = {}
end

afterwards[#afterwards + 1] = clear_parts

-- Nobody may wait for a job that is gone. Whoever still does, or did until it was cancelled, is left
-- from an end that didn't see to it: an older Conduit's, or that of an earlier job of the same id.
-- Call this before `forget`, with jobs whose states are known.
local function settle_dependants(ids)
  for from = 1, #ids, CHUNK do
    local keys = {}
    for i = from, math.min(from + CHUNK - 1, #ids) do
      keys[#keys + 1] = K.dependants .. ids[i]
    end
    if redis.call('EXISTS', unpack(keys)) > 0 then
      for i = from, from + #keys - 1 do
        if states[ids[i]].status == S.COMPLETED then
          unblock_dependants(ids[i])
        else
          cancel_dependants(ids[i])
        end
      end
    end
  end
  save_waiting_less()
end

local function forget(id)
  local st = states[id]
  if st.status == S.CANCELLED and blobs[id] then
    local _, _, _, lane = header(blobs[id])
    left_lanes[lane] = true
  end
  write('HDEL', K.jobs, id)
  write('HDEL', K.states, id)
  write('HDEL', K.waits, id)
  write('ZREM', K.finished, id)
  write('ZREM', K.expiring, id)
  if st.key and (key_holders[st.key] or redis.call('HGET', K.keys, st.key)) == id then
    write('HDEL', K.keys, st.key)
  end
  if st.waits_for and blobs[id] then
    for _, awaited in ipairs(after_in(terms_of(blobs[id]))) do
      stop_waiting(id, awaited)
    end
  end
  if st.parts ~= 0 then
    emptied[#emptied + 1] = id
  end
end
