-- What every script begins with: the clock, the input, batched reads, and one commit at the end.
--
-- A script reads and decides first and writes last, because Redis takes nothing back: `commit`
-- appends the events, then applies what was collected. K and `event_row` come before this text and
-- are made by keys.py and layout.py. Names such as E.STARTED, S.QUEUED or NEWS.reason, of events,
-- statuses and places, are replaced by what layout.py says they stand for.
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

-- Exact numbers of jobs: a status's letter, of those that aren't finished, a colon, a queue's name.
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

-- `news` are by letters, as layout.py has them; `heavy` is about how many bytes they bring, where that
-- may be much.
local function event(kind, id, st, news, heavy)
  weight = weight + (heavy or 0)
  if #rows == MAX_ROWS or (weight > MAX_WEIGHT and #rows > 0) then
    close_entry()
    weight = heavy or 0
  end
  -- an empty table would be packed as an array
  rows[#rows + 1] = event_row(kind, id, st, news and next(news) and news or nil)
end

local reports = {}

-- News that isn't about a job; `data` is JSON or nil.
local function report(kind, subject, data)
  reports[#reports + 1] = { kind, subject, data }
end

-- --- commit -----------------------------------------------------------------------------------------

-- Write something even where a repeat had nothing to write: replicas confirm what a connection has
-- written, and would confirm nothing at all at once (WAIT), though they lack what the repeat is of.
local function note_repeat()
  if #entries == 0 then
    redis.call('HINCRBY', K.meta, 'repeats', 1)
  end
end

local afterwards = {} -- what to do once all is written

local TYPES = {
  HSET = 'hash', HDEL = 'hash', RPUSH = 'list', SADD = 'set', SREM = 'set', ZADD = 'zset', ZREM = 'zset',
}

local function check_type(key, wanted)
  local found = redis.call('TYPE', key).ok
  if found ~= wanted and found ~= 'none' then
    error(string.format('WRONGTYPE %s is a %s', key, found))
  end
end

local function check_scores(list)
  for i = 1, #list, 2 do
    local score = list[i]
    if type(score) ~= 'number' or score ~= score then
      error(string.format('DAMAGED %s was to rank %s', list.key, tostring(list[i + 1])))
    end
  end
end

local function check_counts()
  local fields = {}
  for field in pairs(counted) do
    fields[#fields + 1] = field
  end
  for i, value in ipairs(hmget(K.counts, fields)) do
    if value and not tonumber(value) then
      error(string.format('DAMAGED %s has no number at %s', K.counts, fields[i]))
    end
  end
end

-- Find out now what would be refused halfway. The events come first: where they are refused, nothing
-- is written.
local function check()
  for i = 1, #pending do
    local list = pending[i]
    local wanted = TYPES[list.command]
    if wanted then
      check_type(list.key, wanted)
    end
    if list.command == 'ZADD' then
      check_scores(list)
    end
  end
  if next(counted) then
    check_counts()
  end
end

local function commit()
  close_entry()
  check()
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
  for i = 1, #afterwards do
    afterwards[i]()
  end
end
