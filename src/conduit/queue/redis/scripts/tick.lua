-- tick: turn due ticks of schedules into jobs. See `Queue.tick`.
-- Input: {ticks}, each as layout.py says under TickRow, its job as keep.lua says.
-- Answers {outcome, skipped, last job, ...}. Refuses all as keep.lua says.
read_roll()
local jobs, answers, records, changed_crons, made = {}, {}, {}, {}, {}

local function record_of(cron)
  if records[cron] == nil then
    local stored = redis.call('HGET', K.crons, cron)
    records[cron] = stored and cron_from(stored) or false
    changed_crons[cron] = stored and settle_cron(records[cron])
  end
  return records[cron]
end

local function accepts(record, fingerprint, at)
  if fingerprint == record.in_force then
    return at > math.max(record.mark, record.since)
  end
  local late = record.mark < at and at <= record.since
  return fingerprint == record.before and late and record.definitions[fingerprint] ~= nil
end

local function is_unfinished(id)
  if not id or made[id] then
    return made[id]
  end
  load({ id })
  return blobs[id] and not finished(states[id])
end

local function data_of(at, field, number, job)
  local text = string.format('{"tick":%.0f', at)
  if number and number > 0 then
    text = text .. string.format(',"%s":%.0f', field, number)
  end
  return text .. (job and ',"job":' .. cjson.encode(job) or '') .. '}'
end

local function skip(tick, job)
  report('cron.skipped', tick[TICK.cron], data_of(tick[TICK.at], 'ticks', tick[TICK.passed] + 1, job))
end

-- What becomes of a tick that is accepted: the outcome, and how many were skipped in a row.
local function settle_tick(record, tick)
  local overlap = record.definitions[tick[TICK.fingerprint]].info.overlap
  local blocked = tick[TICK.job] and overlap ~= 'allow' and is_unfinished(record.last_id)
  if not record.paused and blocked and overlap == 'queue' then
    return 'waits', 0
  end
  record.mark = tick[TICK.at]
  if record.paused then
    return 'paused', 0
  elseif not tick[TICK.job] then
    skip(tick)
    return 'skipped', 0
  elseif blocked then
    record.skipped = (record.skipped or 0) + 1
    if record.skipped == 1 then
      skip(tick, record.last_job)
    end
    return 'skipped', record.skipped
  end
  local skipped = record.skipped or 0
  record.skipped, record.last_job, record.last_id = 0, tick[TICK.job_id], tick[TICK.job][JOB.id]
  made[tick[TICK.job][JOB.id]] = true
  jobs[#jobs + 1] = tick[TICK.job]
  report('cron.ticked', tick[TICK.cron], data_of(tick[TICK.at], 'skipped', skipped))
  if tick[TICK.passed] > 0 then
    report('cron.skipped', tick[TICK.cron], data_of(tick[TICK.at], 'ticks', tick[TICK.passed]))
  end
  return 'submitted', skipped
end

for i, tick in ipairs(input[1]) do
  local record = record_of(tick[TICK.cron])
  local outcome, skipped, last_job = 'refused', 0, ''
  if record and accepts(record, tick[TICK.fingerprint], tick[TICK.at]) then
    last_job = record.last_job or ''
    outcome, skipped = settle_tick(record, tick)
    changed_crons[tick[TICK.cron]] = changed_crons[tick[TICK.cron]] or outcome ~= 'waits'
    last_job = (outcome == 'paused' or not tick[TICK.job]) and '' or last_job
  end
  answers[3 * i - 2], answers[3 * i - 1], answers[3 * i] = outcome, skipped, last_job
end
local kept, refusal = keep_all(jobs)
if not kept then
  return refusal
end
for cron, is_changed in pairs(changed_crons) do
  if is_changed then
    put_cron(cron, records[cron])
  end
end
commit()
return answers
