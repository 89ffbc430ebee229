-- register: announce a worker with its functions and schedules. See `Queue.register`.
-- Input: {id, name, info, running, functions, crons, alive_ms}: `functions` as {name, info, ...}, where
-- info is JSON, as the worker's is, which comes without its times; `crons` as the protocol has them.
-- Answers 'OK', or {'function' or 'cron', name, worker} where a live worker has another one.
local id, name, info, running, functions, crons, alive_ms = unpack(input)

read_roll()
local rivals = {} -- names of other workers that live
for _, heard in pairs(roll) do
  if heard.name ~= name and heard.at > now - alive_ms then
    rivals[heard.name] = true
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

local records, others = {}, redis.call('HGETALL', K.crons)
for i = 1, #others, 2 do
  records[others[i]] = cron_from(others[i + 1])
end
for _, mine in ipairs(crons) do
  local record = records[mine.name]
  for worker, fingerprint in pairs(record and record.carriers or {}) do
    local heard, theirs = roll[worker], record.definitions[fingerprint].info
    local lives = heard and heard.name ~= name and heard.at > now - alive_ms
    if lives and (theirs.rhythm ~= mine.rhythm or theirs['function'] ~= mine['function']) then
      return { 'cron', mine.name, heard.name }
    end
  end
end

check_fixed()
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

roll[id] = { name = name, at = now }
for _, info in ipairs(crons) do
  put_cron(info.name, carry(records[info.name], id, info))
  records[info.name] = nil
end
for cron, record in pairs(records) do
  put_down(cron, record, id)
end
report('worker.started', id, info)
commit()
return 'OK'
