-- Removing finished jobs and all that belongs to them: shared by delete and sweep.

-- A job that was cancelled while it waited has left its member in its lane's list, where a claim
-- passes over it. Where no claim comes, it goes with the job, as do such members behind it.
local left_lanes = {}

local function clear_lanes()
  for lane in pairs(left_lanes) do
    for _ = 1, CHUNK do
      local first = redis.call('LINDEX', K.fresh .. lane, 0)
      if not first or redis.call('HEXISTS', K.jobs, string.sub(first, 7)) == 1 then
        break
      end
      redis.call('LPOP', K.fresh .. lane)
    end
  end
  left_lanes = {}
end

afterwards[#afterwards + 1] = clear_lanes

local function forget(id)
  local st = states[id]
  if st.s == S.CANCELLED and blobs[id] then
    local _, _, _, lane = header(blobs[id])
    left_lanes[lane] = true
  end
  write('HDEL', K.jobs, id)
  write('HDEL', K.states, id)
  write('HDEL', K.waits, id)
  write('ZREM', K.finished, id)
  write('ZREM', K.expiring, id)
  if st.k and (key_holders[st.k] or redis.call('HGET', K.keys, st.k)) == id then
    write('HDEL', K.keys, st.k)
  end
  if st.W then
    for _, awaited in ipairs(after_in(rest_of(blobs[id]))) do
      stop_waiting(id, awaited)
    end
  end
  if st.d then
    for _, part in ipairs({ K.metadata, K.checkpoint, K.steps, K.logs, K.artifacts, K.artifact_data }) do
      redis.call('DEL', part .. id)
    end
  end
end
