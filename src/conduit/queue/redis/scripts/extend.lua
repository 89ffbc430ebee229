-- extend: renew leases. See `Queue.extend`.
-- Input: {leases, lease_ms}. Answers per lease: 0 lost, 1 held, 2 to be cancelled.
local leases, lease_ms = input[1], input[2]
local ids = {}
for i = 1, #leases do
  ids[i] = leases[i][LEASE.id]
end
local found = hmget(K.states, ids)
local answers = {}
for i = 1, #ids do
  local id, st = ids[i], found[i] and state_from(found[i])
  if st and st.status == S.RUNNING and st.token == leases[i][LEASE.token] then
    answers[i] = st.cancel_requested and 2 or 1
    write_pair('ZADD', K.leases, now + lease_ms, id)
    local news = not st.started_at and leases[i][LEASE.began_ms_ago]
    if news or st.term ~= lease_ms then
      local after = changed(st, { started_at = began(st, news), term = lease_ms })
      if news then
        event(E.BEGUN, id, after, { [NEWS.began_ms_ago] = ago(after) })
      else
        after.seq = st.seq
      end
      save(id, after)
    end
  else
    answers[i] = 0
  end
end
commit()
return answers
