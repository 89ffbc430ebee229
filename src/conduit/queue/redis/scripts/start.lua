-- start: keep one job and lease it in the same step. See `Queue.start`.
-- Input: {job, worker_id, lease_ms, random}. Answers {blob, state}, or nothing when the id is taken.
local job, worker_id, lease_ms, random = input[1], input[2], input[3], input[4]
local id = job[1]
load({ id })
if blobs[id] then
  return false
end
local st, lane = keep(job, redis.call('INCRBY', K.number, 1))
know_lane(lane)
st = changed(st, {
  s = S.RUNNING, a = 1, n = 1, t = '1:' .. random, w = worker_id, h = now, Q = job[2],
  l = lease_ms ~= LEASE_MS and lease_ms or nil,
})
save(id, st)
write_pair('ZADD', K.leases, now + lease_ms, id)
count('r:', job[2], 1)
event(E.STARTED, id, st, { w = worker_id })
commit()
return { blobs[id], cmsgpack.pack(st) }
