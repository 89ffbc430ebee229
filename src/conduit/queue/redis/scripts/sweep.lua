-- sweep: promote, expire, rescue, forget, trim. See `Queue.sweep`, `transitions.rescue`.
--
-- Input: {limit, results_ms, events_ms, max_entries, workers_ms, functions_ms, alive_ms,
-- max_stream_bytes}. Answers
-- {promoted, expired, rescued, failed, purged, granted, more}.

local limit, results_ms, events_ms, max_entries = input[1], input[2], input[3], input[4]
local workers_ms, functions_ms, alive_ms = input[5], input[6], input[7]
local max_stream_bytes = input[8]
local MARK_EVERY_MS = 2000
local CHECK_EVERY_MS = 10 * 1000
local LANES = 500 -- looked at in a check, about
local SUBSCRIPTION_MS = 3600 * 1000
local MAX_BYTES, FEW = 16 * 1024 * 1024, 100 -- what a purge reads at most, and at a time

local promoted = promote(limit)

-- Each duty commits what it did, so that the next one sees it.
local function settle()
  commit()
  pending, pending_of, counted, entries, rows, ended = {}, {}, {}, {}, {}, {}
  blobs, states, key_holders = {}, {}, {}
end

local function expire_due()
  local due = redis.call('ZRANGEBYSCORE', K.expiring, '-inf', now, 'LIMIT', 0, limit)
  load(due)
  local expired, awaited = 0, {}
  for _, id in ipairs(due) do
    local st = states[id]
    write('ZREM', K.expiring, id)
    local waits = blobs[id] and not finished(st) and st.status ~= S.RUNNING
    if waits and st.expires_at and st.expires_at <= now then
      local _, _, _, lane = header(blobs[id])
      if st.status == S.SCHEDULED then
        write('ZREM', K.scheduled, id)
      elseif st.status == S.QUEUED then
        leave_lane(id, st)
      end
      expire(id, st, lane)
      expired = expired + 1
      if st.awaited then
        awaited[#awaited + 1] = id
      end
    end
  end
  for _, id in ipairs(awaited) do -- those that wait for them, unless they have expired themselves
    cancel_dependants(id)
  end
  return expired, #due
end

local checks = false -- whether it is time to look at lanes and subscriptions

-- Grant half a term where nobody can be blamed, and cut leases from a clock that has since jumped
-- back; how many leases got half a term. None gets a second one: the term of one that did is kept
-- below zero until it is extended. Terms shorter than the usual one are cut a little late.
local function guard()
  local last = tonumber(redis.call('HGET', K.meta, 'last_sweep'))
  if not last or now < last or now - last >= MARK_EVERY_MS then
    redis.call('HSET', K.meta, 'last_sweep', now)
    checks = not last or math.floor(now / CHECK_EVERY_MS) ~= math.floor(last / CHECK_EVERY_MS)
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.leases, '(' .. (now + 2 * DEFAULT.LEASE_MS), '+inf')) do
    local expires = tonumber(redis.call('ZSCORE', K.leases, id))
    local term = math.abs(state_from(redis.call('HGET', K.states, id)).term or DEFAULT.LEASE_MS)
    if expires > now + 2 * term then
      redis.call('ZADD', K.leases, now + term, id)
    end
  end
  if last and now >= last and now - last <= DEFAULT.LEASE_MS / 2 then
    return 0
  end
  redis.call('HSET', K.meta, 'watched_since', now)
  local granted_to = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K.leases, '-inf', now)) do
    local st = state_from(redis.call('HGET', K.states, id))
    if st.status == S.RUNNING and (st.term or 0) > 0 then
      local after = changed(st, { term = -st.term })
      after.seq = st.seq
      redis.call('HSET', K.states, id, packed(after))
      redis.call('ZADD', K.leases, now + math.floor(st.term / 2), id)
      granted_to = granted_to + 1
    end
  end
  return granted_to
end

local function deliveries_of(id)
  local sound, terms = pcall(cjson.decode, terms_of(blobs[id]))
  return sound and tonumber(terms[TERM.max_deliveries]) or 1
end

local function rescued_state(id, st)
  local rescues = st.rescues + 1
  local after
  if st.cancel_requested then
    after = changed(st, { status = S.CANCELLED, rescues = rescues, finished_at = now })
  elseif rescues >= deliveries_of(id) then
    local words = string.format(
      'the worker was lost %d times while running this job, last %s', rescues, st.worker_id or 'unknown'
    )
    after = changed(st, {
      status = S.FAILED, rescues = rescues, finished_at = now, reason = 'max_deliveries',
      error = cjson.encode({ type = 'WorkerLost', message = words }),
    })
  else
    after = changed(st, { status = S.QUEUED, rescues = rescues, run_at = now })
  end
  -- Whoever held that lease comes too late from now on; it hasn't "already" reported anything.
  after.token, after.term = nil, nil
  return after
end

local again, over = 0, 0

local function rescue_one(id, before)
  local st = rescued_state(id, before)
  count('r:', before.queue, -1)
  if before.cancel_requested then
    write('SREM', K.cancels .. before.worker_id, id)
  end
  if st.status == S.QUEUED then
    requeue(id, RESCUED, now)
    expire_again(id, st)
    event(E.RESCUED, id, st, { [NEWS.worker_id] = st.worker_id, [NEWS.began_ms_ago] = ago(st) })
    again = again + 1
  else
    st.queue = nil
    note_end(id)
    event(st.status == S.FAILED and E.FAILED or E.CANCELLED, id, st, {
      [NEWS.worker_id] = st.worker_id, [NEWS.reason] = st.reason,
      [NEWS.error] = st.status == S.FAILED and st.error or nil, [NEWS.began_ms_ago] = ago(st),
    })
    over = over + 1
  end
  save(id, st)
  if st.awaited and finished(st) then
    cancel_dependants(id)
  end
end

local function rescue()
  local lapsed = redis.call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, limit)
  load(lapsed)
  for _, id in ipairs(lapsed) do
    write('ZREM', K.leases, id)
    local before = blobs[id] and states[id]
    if before and before.status == S.RUNNING then -- else it was lost, as under a policy that evicts
      rescue_one(id, before)
    end
  end
end

-- A few at a time, since results may be large: how many were forgotten, how many looked at, and
-- whether memory set the end.
local function purge()
  local purged, looked_at, bytes = 0, 0, 0
  while looked_at < limit and bytes < MAX_BYTES do
    local old = redis.call(
      'ZRANGEBYSCORE', K.finished, '-inf', now - results_ms, 'LIMIT', 0, math.min(FEW, limit - looked_at)
    )
    local texts = hmget(K.states, old)
    local gone = {}
    for i, id in ipairs(old) do
      bytes = bytes + (texts[i] and #texts[i] or 0)
      local st = state_from(texts[i])
      if not texts[i] then -- lost, as under a policy that evicts
        write('ZREM', K.finished, id)
      elseif (st.unique_until or 0) <= now then
        states[id] = st
        blobs[id] = st.status == S.CANCELLED and redis.call('HGET', K.jobs, id)
        gone[#gone + 1] = id
      else -- within its window it stays; it comes up again when that is over
        redis.call('ZADD', K.finished, st.unique_until - results_ms, id)
      end
    end
    settle_dependants(gone)
    for _, id in ipairs(gone) do
      forget(id)
    end
    purged = purged + #gone
    looked_at = looked_at + #old
    settle()
    if #old == 0 then
      break
    end
  end
  return purged, looked_at, bytes >= MAX_BYTES
end

local function id_before(one, other)
  local one_ms, one_n = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_n = string.match(other, '^(%d+)-(%d+)$')
  if one_ms ~= other_ms then
    return tonumber(one_ms) < tonumber(other_ms)
  end
  return tonumber(one_n) < tonumber(other_n)
end

-- The first entry that some group hasn't read and settled; nil when there is none.
local function first_needed()
  local needed
  local groups = redis.call('EXISTS', K.events) == 1 and redis.call('XINFO', 'GROUPS', K.events) or {}
  for _, fields in ipairs(groups) do
    local group = {}
    for i = 1, #fields, 2 do
      group[fields[i]] = fields[i + 1]
    end
    local waiting = redis.call('XPENDING', K.events, group.name)
    local first = waiting[1] > 0 and waiting[2]
    if not first then
      local unread = redis.call('XRANGE', K.events, '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
      first = unread[1] and unread[1][1]
    end
    if first and (not needed or id_before(first, needed)) then
      needed = first
    end
  end
  return needed
end

-- Drop entries that are old, or too many, only before what some group still needs.
local function trim()
  local needed = first_needed()
  local length = redis.call('XLEN', K.events)
  local surplus = length - max_entries
  local usage = redis.pcall('MEMORY', 'USAGE', K.events) -- not every user may ask
  if type(usage) == 'number' and usage > max_stream_bytes then
    surplus = math.max(surplus, math.ceil(length * (1 - max_stream_bytes / usage)))
  end
  local trimmed, ahead = 0, 1 -- one to begin with: mostly there is nothing to drop, and entries are large
  while trimmed < limit do
    local batch = redis.call('XRANGE', K.events, '-', '+', 'COUNT', ahead)
    ahead = 100
    local dropped = {}
    for _, entry in ipairs(batch) do
      local old = tonumber(entry[2][2]) <= now - events_ms or trimmed + #dropped < surplus
      local unneeded = not needed or id_before(entry[1], needed)
      if not old or not unneeded or trimmed + #dropped >= limit then
        break
      end
      dropped[#dropped + 1] = entry[1]
    end
    if #dropped == 0 then
      break
    end
    redis.call('XDEL', K.events, unpack(dropped))
    trimmed = trimmed + #dropped
    if #dropped < #batch then
      break
    end
  end
  return trimmed
end

-- Look at some lanes from time to time: those that are empty are forgotten, and those that stand in no
-- ring, as after a key of ours was removed by hand, are offered again.
local function check_lanes()
  local place = redis.call('HGET', K.meta, 'checked') or '0'
  local following, lanes = unpack(redis.call('SSCAN', K.lanes, place, 'COUNT', LANES))
  for _, lane in ipairs(lanes) do
    local level = string.match(lane, '^%d+:') and head_level(lane)
    if not level then
      redis.call('SREM', K.lanes, lane)
    elseif not is_offered(queue_of(lane), function_of(lane)) then
      offer(queue_of(lane), function_of(lane), level)
    end
  end
  if following ~= place then
    redis.call('HSET', K.meta, 'checked', following)
  end
  rouse_workers()
end

-- Forget one subscription that no worker has claimed by for long.
local function forget_subscription()
  local old = redis.call(
    'ZRANGEBYSCORE', K.subscriptions, '-inf', now - SUBSCRIPTION_MS, 'LIMIT', 0, 1
  )[1]
  if not old then
    return
  end
  local queues, names = redis.call('HKEYS', K.weights .. old), redis.call('SMEMBERS', K.wants .. old)
  for i = 1, #queues do
    redis.pcall('SREM', K.served_by .. queues[i], old)
    redis.call('DEL', K.ring .. old .. ':' .. queues[i])
  end
  for i = 1, #names do
    redis.pcall('SREM', K.wanted_by .. names[i], old)
  end
  redis.call('DEL', K.weights .. old, K.wants .. old, K.queue_ring .. old, K.idle .. old)
  redis.call('ZREM', K.subscriptions, old)
end

local function name_of(worker)
  local record = redis.call('HGET', K.workers, worker)
  return record and cmsgpack.unpack(record)[1]
end

-- Functions of workers of whose name there hasn't been any for long.
local function forget_functions()
  local gone = redis.call('ZRANGEBYSCORE', K.names, '-inf', now - functions_ms)
  if #gone == 0 then
    return
  end
  local there = {}
  for _, worker in ipairs(redis.call('HKEYS', K.workers)) do
    there[name_of(worker)] = true
  end
  local fields = redis.call('HKEYS', K.functions)
  for _, name in ipairs(gone) do
    if there[name] then
      redis.call('ZADD', K.names, now, name)
    else
      local owned = cmsgpack.pack(name)
      for _, field in ipairs(fields) do
        if string.sub(field, 1, #owned) == owned then
          redis.call('HDEL', K.functions, field)
        end
      end
      redis.call('ZREM', K.names, name)
    end
  end
end

-- Report workers that were lost, forget those that don't come back; their functions later. Only once
-- sweeps have gone on for so long that a worker's silence is its own.
local function forget_silent()
  local since = tonumber(redis.call('HGET', K.meta, 'watched_since'))
  if not since or now - since < alive_ms then
    return
  end
  -- heard of far ahead of now: a clock has since jumped back
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', K.seen, now + alive_ms, '+inf')) do
    redis.call('ZADD', K.seen, now, worker)
  end
  local silent = redis.call('ZRANGEBYSCORE', K.seen, '-inf', now - alive_ms, 'WITHSCORES')
  if #silent > 0 then
    check_fixed()
  end
  local gone = {}
  for i = 1, #silent, 2 do
    local worker, seen_at = silent[i], tonumber(silent[i + 1])
    if redis.call('SADD', K.lost, worker) == 1 then
      report('worker.lost', worker, string.format('{"seen_at":%.0f}', seen_at))
    end
    if seen_at <= now - workers_ms then
      local name = name_of(worker)
      if name then
        local known = tonumber(redis.call('ZSCORE', K.names, name)) or 0
        redis.call('ZADD', K.names, math.max(known, seen_at), name)
      end
      redis.call('HDEL', K.workers, worker)
      redis.call('HDEL', K.load, worker)
      redis.call('ZREM', K.seen, worker)
      redis.call('SREM', K.lost, worker)
      gone[worker] = seen_at
    end
  end
  put_down_crons(gone)
  forget_functions()
end

settle()
local expired, looked_at = expire_due()
settle()
local granted = guard()
rescue()
settle()
local purged, purge_looked_at, purge_cut_short = purge()
local trimmed = trim()
if checks then
  check_lanes()
  forget_subscription()
end
forget_silent()
commit()
local most = math.max(promoted, looked_at, again + over, purge_looked_at, trimmed)
return { promoted, expired, again, over, purged, granted, (most >= limit or purge_cut_short) and 1 or 0 }
