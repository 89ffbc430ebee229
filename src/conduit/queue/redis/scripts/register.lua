-- register: announce a worker with its functions and schedules. See `Queue.register`.
-- Input: {id, name, info, running, functions, crons, alive_ms}: `functions` as {name, info, ...},
-- `crons` as {name, fingerprint, info, ...}; every info is JSON, the worker's without its times.
-- Answers 'OK', or {'function' or 'cron', name, worker} where a live worker has another one.
local id, name, info, running, functions, crons, alive_ms = unpack(input)

local rivals = {} -- names of other workers that live
for _, other in ipairs(redis.call('ZRANGEBYSCORE', K.seen, '(' .. (now - alive_ms), '+inf')) do
  local record = redis.call('HGET', K.workers, other)
  local theirs = record and cmsgpack.unpack(record)[1]
  if theirs and theirs ~= name then
    rivals[theirs] = true
  end
end

if next(rivals) then
  local ours = {}
  for i = 1, #functions, 2 do
    ours[functions[i]] = cjson.decode(functions[i + 1])
  end
  for _, text in ipairs(redis.call('HVALS', K.functions)) do
    local theirs = cjson.decode(text)
    local mine = rivals[theirs.worker] and ours[theirs.name]
    if mine and mine.queue == theirs.queue and mine.signature ~= theirs.signature then
      return { 'function', theirs.name, theirs.worker }
    end
  end
end

local known, shared = {}, {}
for i = 1, #crons, 3 do
  local cron = crons[i]
  local stored = redis.call('HGET', K.crons, cron)
  known[cron] = stored and cmsgpack.unpack(stored) or {}
  local owner, fingerprint = known[cron][1], known[cron][2]
  if owner and rivals[owner] then
    local theirs, mine = cjson.decode(known[cron][5]), cjson.decode(crons[i + 2])
    if fingerprint ~= crons[i + 1] or theirs['function'] ~= mine['function'] then
      return { 'cron', cron, owner }
    end
    shared[cron] = true
  end
end

redis.call('HSET', K.workers, id, cmsgpack.pack({ name, now, info }))
redis.call('HSET', K.load, id, running)
redis.call('ZADD', K.seen, now, id)
redis.call('SREM', K.lost, id)
redis.call('ZADD', K.names, now, name)

local owned = cmsgpack.pack(name)
for _, field in ipairs(redis.call('HKEYS', K.functions)) do
  if string.sub(field, 1, #owned) == owned then
    redis.call('HDEL', K.functions, field)
  end
end
for i = 1, #functions, 2 do
  redis.call('HSET', K.functions, owned .. functions[i], functions[i + 1])
end

for i = 1, #crons, 3 do
  local cron, fingerprint = crons[i], crons[i + 1]
  if not shared[cron] then
    local _, before, mark, paused = unpack(known[cron])
    redis.call('HSET', K.crons, cron, cmsgpack.pack({
      name, fingerprint, before == fingerprint and mark or now, paused or 0, crons[i + 2],
    }))
  end
end
local all = redis.call('HGETALL', K.crons)
for i = 1, #all, 2 do
  if cmsgpack.unpack(all[i + 1])[1] == name and not known[all[i]] then
    redis.call('HDEL', K.crons, all[i])
  end
end
report('worker.started', id, info)
commit()
return 'OK'
