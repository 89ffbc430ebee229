-- extend: renew leases. See `Queue.extend`.
-- Input: {ids, tokens, lease_ms}. Answers per lease: 0 lost, 1 held, 2 to be cancelled.
local ids, tokens, lease_ms = input[1], input[2], input[3]
local found = hmget(K.states, ids)
local answers = {}
local term = lease_ms ~= LEASE_MS and lease_ms or nil
for i = 1, #ids do
  local st = found[i] and state_from(found[i])
  if st and st.s == S.RUNNING and st.t == tokens[i] then
    answers[i] = st.c and 2 or 1
    write_pair('ZADD', K.leases, now + lease_ms, ids[i])
    if st.l ~= term then
      local copy = changed(st, {})
      copy.q, copy.l = st.q, term
      save(ids[i], copy)
    end
  else
    answers[i] = 0
  end
end
commit()
return answers
