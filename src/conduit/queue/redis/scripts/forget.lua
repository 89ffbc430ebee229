-- Removing finished jobs and all that belongs to them: shared by delete and sweep.

local function forget(id)
  local st = states[id]
  write('HDEL', K.jobs, id)
  write('HDEL', K.states, id)
  write('HDEL', K.waits, id)
  write('ZREM', K.finished, id)
  write('ZREM', K.expiring, id)
  if st.k and (key_holders[st.k] or redis.call('HGET', K.keys, st.k)) == id then
    write('HDEL', K.keys, st.k)
  end
  if st.d then
    for _, part in ipairs({ K.metadata, K.checkpoint, K.steps, K.logs, K.artifacts, K.artifact_data }) do
      redis.call('DEL', part .. id)
    end
  end
end
