-- What jobs wait for: shared by what keeps them, retries them and forgets them.
--
-- A job's `after` stands in the JSON of its blob. Of each of these that hasn't completed, the sorted
-- set `dependants` has the job as a member, by its number, and the job's state says how many that are
-- (`W`). The state of a job that is waited for says so (`A`), so that the end of any other costs
-- nothing more. A job that completes loses its set at once. One that ends otherwise keeps it, even
-- when it is forgotten, as long as its dependants are stored: it hasn't completed, and they may be
-- retried.

-- The JSON at a blob's end, of what scripts needn't know otherwise.
local function rest_of(blob)
  local _, _, _, _, _, at = struct.unpack('>I6I6BI2c0I4c0', blob)
  return string.sub(blob, at)
end

local function after_in(rest)
  return rest ~= '' and cjson.decode(rest).a or {}
end

-- The state of a job of which no more is wanted: its arguments may be large, and so may a result.
local function state_of(id)
  if not states[id] and blobs[id] == nil and redis.call('HEXISTS', K.jobs, id) == 1 then
    local st = state_from(redis.call('HGET', K.states, id))
    states[id] = st.s == S.COMPLETED and { s = st.s } or st ~= BROKEN and st or nil
  end
  return states[id]
end

-- Note that a job waits for another, which is unfinished or has ended without completing.
local function wait_for(id, awaited)
  local n = header(blobs[id])
  write_pair('ZADD', K.dependants .. awaited, n, id)
  local st = states[awaited]
  if not st.A then
    local marked = changed(st, { A = 1 })
    marked.q = st.q
    save(awaited, marked)
  end
end

local function stop_waiting(id, awaited)
  write('ZREM', K.dependants .. awaited, id)
end
