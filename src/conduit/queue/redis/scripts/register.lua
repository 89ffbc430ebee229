-- register: announce a worker with its functions and schedules. See `Queue.register`.
-- Input: {id, name, info, running, functions, crons}: `functions` as {name, info, ...}, `crons` as
-- {name, fingerprint, info, ...}; every info is JSON, the worker's without its times.
local id, name, info, running, functions, crons = unpack(input)

redis.call('HSET', K.workers, id, cmsgpack.pack({ name, now, info }))
redis.call('HSET', K.load, id, running)
redis.call('ZADD', K.seen, now, id)

local owned = cmsgpack.pack(name)
for _, field in ipairs(redis.call('HKEYS', K.functions)) do
  if string.sub(field, 1, #owned) == owned then
    redis.call('HDEL', K.functions, field)
  end
end
for i = 1, #functions, 2 do
  redis.call('HSET', K.functions, owned .. functions[i], functions[i + 1])
end

local kept = {}
for i = 1, #crons, 3 do
  local cron, fingerprint = crons[i], crons[i + 1]
  kept[cron] = true
  local stored = redis.call('HGET', K.crons, cron)
  local known = stored and cmsgpack.unpack(stored)
  local mark = known and known[2] == fingerprint and known[3] or now
  redis.call('HSET', K.crons, cron, cmsgpack.pack({
    name, fingerprint, mark, known and known[4] or 0, crons[i + 2],
  }))
end
local all = redis.call('HGETALL', K.crons)
for i = 1, #all, 2 do
  if cmsgpack.unpack(all[i + 1])[1] == name and not kept[all[i]] then
    redis.call('HDEL', K.crons, all[i])
  end
end
report('worker.started', id, info)
commit()
return 1
