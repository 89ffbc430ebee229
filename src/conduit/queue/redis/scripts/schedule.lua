-- Schedules as core/crons.py has them: a record of `definitions` by fingerprint, `carriers`, `in_force`,
-- `mark`, `since`, `before`, `paused`, `last_job`, `skipped`; and `last_id`, that job's id as it is stored.

local roll = {} -- the workers that the store knows, by id: {name, at, lost}

local function read_roll()
  local lost, ids = {}, {}
  for _, id in ipairs(redis.call('SMEMBERS', K.lost)) do
    lost[id] = true
  end
  local seen = redis.call('ZRANGE', K.seen, 0, -1, 'WITHSCORES')
  for i = 1, #seen, 2 do
    ids[#ids + 1] = seen[i]
  end
  local records = hmget(K.workers, ids)
  for i, id in ipairs(ids) do
    if records[i] then
      local name = cmsgpack.unpack(records[i])[1]
      roll[id] = { name = name, at = tonumber(seen[2 * i]), lost = lost[id] }
    end
  end
end

local function cron_from(packed)
  local record = cmsgpack.unpack(packed)
  record.carriers = record.carriers or {}
  return record
end

local function put_cron(name, record)
  local carriers = record.carriers
  if not next(carriers) then
    record.carriers = nil -- an empty table would be packed as an array
  end
  write_pair('HSET', K.crons, name, cmsgpack.pack(record))
  record.carriers = carriers
end

-- Fingerprints of what workers carry that aren't lost.
local function followed(record)
  local found = {}
  for worker, fingerprint in pairs(record.carriers) do
    if roll[worker] and not roll[worker].lost then
      found[fingerprint] = true
    end
  end
  return found
end

-- The newest definition that is followed; the one in force where none is.
local function newest_of(record)
  local newest
  for fingerprint in pairs(followed(record)) do
    if not newest or record.definitions[fingerprint].version > record.definitions[newest].version then
      newest = fingerprint
    end
  end
  return newest or record.in_force
end

local function forget_carriers(record)
  local kept, changed_any = {}, false
  for worker, fingerprint in pairs(record.carriers) do
    if roll[worker] then
      kept[worker] = fingerprint
    else
      changed_any = true
    end
  end
  record.carriers = kept
  return changed_any
end

local function forget_definitions(record)
  local kept = { [record.in_force] = record.definitions[record.in_force] }
  for _, fingerprint in pairs(record.carriers) do
    kept[fingerprint] = record.definitions[fingerprint]
  end
  record.definitions = kept
end

-- When the carriers of a definition were last heard of, if there are any; their least name; and
-- whether one of them has the name that the definition gives.
local function carriers_of(record, fingerprint)
  local at, least, owned
  local owner = record.definitions[fingerprint].info.worker
  for worker, carried in pairs(record.carriers) do
    if carried == fingerprint then
      local heard = roll[worker]
      at = math.max(at or heard.at, heard.at)
      least = (least and least < heard.name) and least or heard.name
      owned = owned or heard.name == owner
    end
  end
  return at, least, owned
end

-- Bring the right definition in force, and forget who is gone. Whether that changed anything.
local function settle_cron(record, at)
  local changed_any = forget_carriers(record)
  local newest = newest_of(record)
  local old, new = record.definitions[record.in_force], record.definitions[newest]
  if old.info.rhythm ~= new.info.rhythm then
    record.since = old.version > new.version and carriers_of(record, record.in_force) or at or now
    record.before = record.in_force
  end
  changed_any = changed_any or newest ~= record.in_force
  record.in_force = newest
  local _, least, owned = carriers_of(record, newest)
  if least and not owned then
    new.info.worker, changed_any = least, true
  end
  forget_definitions(record)
  return changed_any
end

-- A worker registers what it has of a schedule; `record` is nil for a new one.
local function carry(record, worker, info)
  local mine = info.fingerprint
  if not record then
    return {
      definitions = { [mine] = { version = 1, info = info } },
      in_force = mine, carriers = { [worker] = mine }, mark = now, since = now,
    }
  end
  if not followed(record)[mine] then
    local newest = 0
    for _, definition in pairs(record.definitions) do
      newest = math.max(newest, definition.version)
    end
    record.definitions[mine] = { version = newest + 1, info = info }
  end
  record.carriers[worker] = mine
  settle_cron(record)
  return record
end

local function is_dropped(record)
  if next(followed(record)) then
    return false
  end
  local owner = record.definitions[record.in_force].info.worker
  for _, heard in pairs(roll) do
    if heard.name == owner and not heard.lost then
      return true
    end
  end
  return false
end

-- A worker doesn't have a schedule, or no longer, since `at` or now: another definition may be in
-- force, or none.
local function put_down(name, record, worker, at)
  local carried = record.carriers[worker] ~= nil
  record.carriers[worker] = nil
  local changed_any = settle_cron(record, at)
  if is_dropped(record) then
    write('HDEL', K.crons, name)
  elseif carried or changed_any then
    put_cron(name, record)
  end
end

-- What workers carried that are gone now: by their ids, when each was last heard of.
local function put_down_crons(gone)
  if not next(gone) then
    return
  end
  read_roll()
  local all = redis.call('HGETALL', K.crons)
  for i = 1, #all, 2 do
    local cron, last = cron_from(all[i + 1]), nil
    for worker in pairs(cron.carriers) do
      if gone[worker] and (not last or gone[worker] > gone[last]) then
        last = worker
      end
    end
    if last then -- the others go with it: they aren't on the roll
      put_down(all[i], cron, last, gone[last])
    end
  end
end
