-- start: keep one job and lease it in the same step. See `Queue.start`.
-- Input: {job, worker_id, lease_ms, random}, the job as keep.lua says. Answers {blob, state}, or nothing when the id is taken.
local job, worker_id, lease_ms, random = input[1], input[2], input[3], input[4]
local id, queue = job[JOB.id], job[JOB.queue]
load({ id })
if blobs[id] then
  return false
end
local st, lane = keep(job, redis.call('INCRBY', K.number, 1))
know_lane(lane)
st = changed(st, {
  status = S.RUNNING, attempt = 1, fence = 1, token = '1:' .. random, worker_id = worker_id,
  claimed_at = now, queue = queue, term = lease_ms,
})
save(id, st)
write_pair('ZADD', K.leases, now + lease_ms, id)
count('r:', queue, 1)
event(E.STARTED, id, st, { [NEWS.worker_id] = worker_id })
commit()
return { blobs[id], packed(st) }
