-- cancels: the leases of a worker whose jobs are to be cancelled. See `wait_for_cancels`.
-- Input: {worker_id}. Answers {id, token, id, token, ...}.
local key = K.cancels .. input[1]
local ids = redis.call('SMEMBERS', key)
local found = hmget(K.states, ids)
local answer = {}
for i, id in ipairs(ids) do
  local st = found[i] and state_from(found[i])
  if st and st.status == S.RUNNING and st.cancel_requested and st.worker_id == input[1] then
    answer[#answer + 1] = id
    answer[#answer + 1] = st.token
  else
    redis.call('SREM', key, id)
  end
end
return answer
