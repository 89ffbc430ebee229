-- submit_plain: keep a batch of plain jobs with as little work as that takes. See `Queue.submit`.
--
-- Plain is what most jobs are: to run now, at the usual priority, without a key, an expiry or
-- metadata. The caller has packed what doesn't depend on the store; see records.plain_row.
-- ARGV[1] is the time where a test holds the clock, else empty. ARGV[3] are the jobs one after the
-- other, no id twice: id, lane, body and event of each, with their lengths. Answers 1; or 0 where
-- some id is stored already, or something isn't what it has to be: submit.lua decides about that.

local MAX_ROWS = 500 -- events in one entry of the stream

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local count, position = 0, 1
local ids, lane_of, blobs, rows = {}, {}, {}, {}
while position <= #ARGV[3] do
  count = count + 1
  ids[count], lane_of[count], blobs[2 * count], rows[count], position =
    struct.unpack('>I2c0I2c0I4c0I4c0', ARGV[3], position)
end
for from = 1, count, 1000 do
  local stored = redis.call('HMGET', K.jobs, unpack(ids, from, math.min(from + 999, count)))
  for i = 1, #stored do
    if stored[i] then
      return 0
    end
  end
end

-- All that could be refused halfway is looked at first. What comes before the events does no harm by
-- itself: numbers may have gaps, and a lane may be empty.
local lanes, counts = {}, {}
for i = 1, count do
  local lane = lane_of[i]
  if not lanes[lane] then
    local length, at = string.match(lane, '^(%d+):()')
    lanes[lane], counts[lane] = {}, 'q:' .. string.sub(lane, at, at + length - 1)
    local found = redis.call('TYPE', K.fresh .. lane).ok
    local counted = redis.pcall('HGET', K.counts, counts[lane])
    if (found ~= 'list' and found ~= 'none') or (counted and not tonumber(counted)) then
      return 0
    end
    redis.call('SADD', K.lanes, lane)
  end
end

local last = redis.call('INCRBY', K.number, count)
for i = 1, count do
  local number = struct.pack('>I6', last - count + i)
  blobs[2 * i - 1] = ids[i]
  blobs[2 * i] = number .. struct.pack('>I6', now) .. blobs[2 * i]
  local members = lanes[lane_of[i]]
  members[#members + 1] = number .. struct.pack('>I6', now) .. ids[i]
end

for from = 1, count, MAX_ROWS do
  local to = math.min(from + MAX_ROWS - 1, count)
  -- 0xdc and two bytes begin an array in MessagePack.
  local body = struct.pack('>BI2', 220, to - from + 1) .. table.concat(rows, '', from, to)
  redis.call('XADD', K.events, '*', 'a', now, 'b', body)
end
for from = 1, 2 * count, 1000 do
  redis.call('HSET', K.jobs, unpack(blobs, from, math.min(from + 999, 2 * count)))
end
for lane, members in pairs(lanes) do
  local waiting
  for from = 1, #members, 1000 do
    local to = math.min(from + 999, #members)
    waiting = redis.call('RPUSH', K.fresh .. lane, unpack(members, from, to))
  end
  redis.call('HINCRBY', K.counts, counts[lane], #members)
  if waiting == #members then -- else it stands in the rings already
    local queue = string.sub(counts[lane], 3)
    offer(queue, string.sub(lane, #tostring(#queue) + #queue + 3), ORDINARY + 100)
  end
end
rouse_workers()
return 1
