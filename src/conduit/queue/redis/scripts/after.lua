-- What jobs wait for: shared by what keeps them, retries them and forgets them.
--
-- A job's `after` stands in its terms. Of each of these that hasn't completed, the sorted
-- set `dependants` has the job as a member, by its number, and the job's state says how many that are
-- (`waits_for`). The state of a job that is waited for says so (`awaited`), so that the end of any other costs
-- nothing more. A job that completes loses its set at once. One that ends otherwise keeps it, even
-- when it is forgotten, as long as its dependants are stored: it hasn't completed, and they may be
-- retried.

local function after_in(terms)
  local after = cjson.decode(terms)[TERM.after]
  return type(after) == 'table' and after or {}
end

-- The state of a job of which no more is wanted: its arguments may be large, and so may a result.
local function state_of(id)
  if not states[id] and blobs[id] == nil and redis.call('HEXISTS', K.jobs, id) == 1 then
    local st = state_from(redis.call('HGET', K.states, id))
    states[id] = st.status == S.COMPLETED and { status = st.status } or st ~= BROKEN and st or nil
  end
  return states[id]
end

-- Note that a job waits for another, which is unfinished or has ended without completing.
local function wait_for(id, awaited)
  local n = header(blobs[id])
  write_pair('ZADD', K.dependants .. awaited, n, id)
  local st = states[awaited]
  if not st.awaited then
    local marked = changed(st, { awaited = true })
    marked.seq = st.seq
    save(awaited, marked)
  end
end

local function stop_waiting(id, awaited)
  write('ZREM', K.dependants .. awaited, id)
end
