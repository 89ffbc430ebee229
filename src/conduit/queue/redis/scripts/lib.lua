-- What every script begins with: the clock, the input, batched reads, and one commit at the end.
--
-- A script reads and decides first and writes last, because Redis takes nothing back: `commit`
-- appends the events, then applies what was collected. K, E and S come before this text and are
-- made by keys.py and records.py: the names of the keys, of the events and of the statuses.
--
-- ARGV[1] is the time in milliseconds where a test holds the clock, else empty: the store's own.
-- ARGV[2] is the input as MessagePack.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local input = cmsgpack.unpack(ARGV[2])

local CHUNK = 1000 -- values per command; Lua's stack holds about 8,000

-- --- batched reads -----------------------------------------------------------------------------

local function hmget(key, fields)
  local found = {}
  for from = 1, #fields, CHUNK do
    local to = math.min(from + CHUNK - 1, #fields)
    local part = redis.call('HMGET', key, unpack(fields, from, to))
    for i = 1, #part do
      found[from + i - 1] = part[i]
    end
  end
  return found
end

-- --- what is to be written ----------------------------------------------------------------------

local pending, pending_of = {}, {}

local function collect(command, key)
  local of_command = pending_of[command]
  if not of_command then
    of_command = {}
    pending_of[command] = of_command
  end
  local list = of_command[key]
  if not list then
    list = { command = command, key = key }
    of_command[key] = list
    pending[#pending + 1] = list
  end
  return list
end

local function write(command, key, value)
  local list = collect(command, key)
  list[#list + 1] = value
end

local function write_pair(command, key, first, second)
  local list = collect(command, key)
  local size = #list
  list[size + 1] = first
  list[size + 2] = second
end

local counted = {}

-- Exact numbers of jobs: 'q:' queued, 's:' scheduled, 'r:' running, then the queue's name.
local function count(kind, queue, by)
  local field = kind .. queue
  counted[field] = (counted[field] or 0) + by
end

-- --- events -------------------------------------------------------------------------------------

local MAX_ROWS, MAX_WEIGHT = 500, 4 * 1024 * 1024
local entries, rows, weight = {}, {}, 0

local function close_entry()
  if #rows > 0 then
    entries[#entries + 1] = cmsgpack.pack(rows)
    rows, weight = {}, 0
  end
end

-- `heavy` is about how many bytes `extra` brings, where that may be much.
local function event(kind, id, st, extra, heavy)
  weight = weight + (heavy or 0)
  if #rows == MAX_ROWS or (weight > MAX_WEIGHT and #rows > 0) then
    close_entry()
    weight = heavy or 0
  end
  rows[#rows + 1] = {
    kind, id, st.q, st.a or 0, st.s, st.g or 1, st.n or 0, st.f or 0, st.r or 0,
    extra and next(extra) and extra or nil, -- an empty table would be packed as an array
  }
end

local reports = {}

-- News that isn't about a job; `data` is JSON or nil.
local function report(kind, subject, data)
  reports[#reports + 1] = { kind, subject, data }
end

-- --- jobs ---------------------------------------------------------------------------------------

-- A job is a blob, fixed at submission, and a state. One that was never touched since it was queued
-- has no state stored: this is it.
local FRESH = { s = S.QUEUED, q = 1 }

local unpacked = {} -- the states of a batch are mostly alike: each text is decoded once

local function state_from(text)
  if not text then
    return FRESH
  end
  local st = unpacked[text]
  if not st then
    st = cmsgpack.unpack(text)
    unpacked[text] = st
  end
  return st
end

local blobs, states = {}, {}

-- Read jobs into `blobs` and `states`; an id that isn't stored has no blob. States are shared
-- between jobs and never changed in place: see `changed`.
local function load(ids)
  local found_blobs, found_states = hmget(K.jobs, ids), hmget(K.states, ids)
  for i = 1, #ids do
    local id = ids[i]
    if blobs[id] == nil then
      blobs[id] = found_blobs[i]
      states[id] = found_blobs[i] and state_from(found_states[i])
    end
  end
end

local function changed(st, with)
  local copy = {}
  for name, value in pairs(st) do
    copy[name] = value
  end
  for name, value in pairs(with) do
    copy[name] = value
  end
  copy.q = st.q + 1
  return copy
end

local function save(id, st, text)
  states[id] = st
  write_pair('HSET', K.states, id, text or cmsgpack.pack(st))
end

-- The fixed part of a job: its number, when it was submitted, its priority, its lane.
local function header(blob)
  local n, at, priority, lane = struct.unpack('>I6I6BI2c0', blob)
  return n, at, priority - 100, lane
end

local function lane_of(queue, name)
  return #queue .. ':' .. queue .. ':' .. name
end

local function queue_of(lane)
  local length, from = string.match(lane, '^(%d+):()')
  return string.sub(lane, from, from + length - 1)
end

local function finished(st)
  return st.s == S.COMPLETED or st.s == S.FAILED or st.s == S.CANCELLED
end

-- --- lanes: the queued jobs of one function in one queue --------------------------------------------
--
-- New jobs of priority 0 are a list, which takes the least memory and is in the order of their
-- numbers by itself. All others are a sorted set beside it. A member is the number in six bytes,
-- then the id. What is found there counts only if the job's state says that it is queued: members
-- of cancelled jobs are left in the list.

local LEVEL = 2 ^ 42 -- jobs are numbered below this
local RESCUED, ORDINARY = 0, 1000

local function member(n, id)
  return struct.pack('>I6', n) .. id
end

local function rank(front, priority, n)
  return (front + 100 - priority) * LEVEL + n
end

local woken = {} -- queues in which there is something to claim

-- Put a job that comes back (promoted, released, retried, rescued) into its lane.
local function requeue(id, front)
  local n, _, priority, lane = header(blobs[id])
  write_pair('ZADD', K.back .. lane, rank(front, priority, n), member(n, id))
  count('q:', queue_of(lane), 1)
  woken[queue_of(lane)] = true
end

-- A job that waits again may expire again; a sweep strikes out those that run at that time.
local function expire_again(id, st)
  if st.x then
    write_pair('ZADD', K.expiring, st.x, id)
  end
end

-- --- keys that name jobs ----------------------------------------------------------------------------

local key_holders = {} -- what this batch has changed

-- The job that holds a key: unfinished, or within its window.
local function holder_of(key)
  local id = key_holders[key] or redis.call('HGET', K.keys, key)
  if not id then
    return nil
  end
  load({ id })
  local st = states[id]
  if blobs[id] and (not finished(st) or (st.u or 0) > now) then
    return id
  end
  return nil
end

local function take_key(key, id)
  key_holders[key] = id
  write_pair('HSET', K.keys, key, id)
end

-- --- the end of a job -------------------------------------------------------------------------------

local ended = {}

-- Note that a job has finished: for retention, and for those who wait for it.
local function note_end(id)
  ended[#ended + 1] = id
  write_pair('ZADD', K.finished, now, id)
end

local function tell_waiters()
  if #ended == 0 or redis.call('EXISTS', K.waits) == 0 then
    return
  end
  local waiting = hmget(K.waits, ended)
  for i = 1, #ended do
    if waiting[i] then
      for client in string.gmatch(waiting[i], '[^,]+') do
        redis.call('PUBLISH', K.done .. client, ended[i])
      end
      redis.call('HDEL', K.waits, ended[i])
    end
  end
end

-- Workers that found nothing to do are in `idle`; nobody is told when all are busy.
local function wake_workers()
  if not next(woken) or redis.call('EXISTS', K.idle) == 0 then
    return
  end
  for queue in pairs(woken) do
    if redis.call('PUBLISH', K.wake, queue) == 0 then
      redis.call('DEL', K.idle)
    end
  end
end

-- --- commit -----------------------------------------------------------------------------------------

local function commit()
  close_entry()
  for i = 1, math.max(#entries, #reports > 0 and 1 or 0) do
    local fields = { 'a', now }
    if entries[i] then
      fields[#fields + 1] = 'b'
      fields[#fields + 1] = entries[i]
    end
    if i == 1 and #reports > 0 then
      fields[#fields + 1] = 'r'
      fields[#fields + 1] = cmsgpack.pack(reports)
    end
    redis.call('XADD', K.events, '*', unpack(fields))
  end
  for i = 1, #pending do
    local list = pending[i]
    for from = 1, #list, CHUNK do
      local to = math.min(from + CHUNK - 1, #list)
      redis.call(list.command, list.key, unpack(list, from, to))
    end
  end
  for field, by in pairs(counted) do
    if by ~= 0 and redis.call('HINCRBY', K.counts, field, by) == 0 then
      redis.call('HDEL', K.counts, field)
    end
  end
  tell_waiters()
  wake_workers()
end
