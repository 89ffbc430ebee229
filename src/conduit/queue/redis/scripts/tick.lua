-- tick: turn due ticks of schedules into jobs. See `Queue.tick`.
-- Input: {ticks}, each {cron, fingerprint, at, job, job id, passed}: the job as keep.lua says, or nil.
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
  report('cron.skipped', tick[1], data_of(tick[3], 'ticks', tick[6] + 1, job))
end

-- What becomes of a tick that is accepted: the outcome, and how many were skipped in a row.
local function settle_tick(record, tick)
  local overlap = record.definitions[tick[2]].info.overlap
  local blocked = tick[4] and overlap ~= 'allow' and is_unfinished(record.last_id)
  if not record.paused and blocked and overlap == 'queue' then
    return 'waits', 0
  end
  record.mark = tick[3]
  if record.paused then
    return 'paused', 0
  elseif not tick[4] then
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
  record.skipped, record.last_job, record.last_id = 0, tick[5], tick[4][1]
  made[tick[4][1]] = true
  jobs[#jobs + 1] = tick[4]
  report('cron.ticked', tick[1], data_of(tick[3], 'skipped', skipped))
  if tick[6] > 0 then
    report('cron.skipped', tick[1], data_of(tick[3], 'ticks', tick[6]))
  end
  return 'submitted', skipped
end

for i, tick in ipairs(input[1]) do
  local record = record_of(tick[1])
  local outcome, skipped, last_job = 'refused', 0, ''
  if record and accepts(record, tick[2], tick[3]) then
    last_job = record.last_job or ''
    outcome, skipped = settle_tick(record, tick)
    changed_crons[tick[1]] = changed_crons[tick[1]] or outcome ~= 'waits'
    last_job = (outcome == 'paused' or not tick[4]) and '' or last_job
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
