-- extend: renew leases. See `Queue.extend`.
-- Input: {rows, lease_ms}, each row {id, token, ms since its function began}. Answers per lease: 0
-- lost, 1 held, 2 to be cancelled.
local rows_, lease_ms = input[1], input[2]
local ids = {}
for i = 1, #rows_ do
  ids[i] = rows_[i][1]
end
local found = hmget(K.states, ids)
local answers = {}
local term = lease_ms ~= LEASE_MS and lease_ms or nil
for i = 1, #ids do
  local id, st = ids[i], found[i] and state_from(found[i])
  if st and st.s == S.RUNNING and st.t == rows_[i][2] then
    answers[i] = st.c and 2 or 1
    write_pair('ZADD', K.leases, now + lease_ms, id)
    local news = not st.b and rows_[i][3]
    if news or st.l ~= term then
      local after = changed(st, { b = began(st, rows_[i][3]) })
      after.l = term
      if news then
        event(E.BEGUN, id, after, { b = ago(after) })
      else
        after.q = st.q
      end
      save(id, after)
    end
  else
    answers[i] = 0
  end
end
commit()
return answers
