-- crons: what is stored of schedules, and of workers. See `Queue.crons`.
-- Answers {records, {id, name, seen_at, lost, ...}}.
read_roll()
local workers = {}
for id, heard in pairs(roll) do
  local size = #workers
  workers[size + 1] = id
  workers[size + 2] = heard.name
  workers[size + 3] = heard.at
  workers[size + 4] = heard.lost and 1 or 0
end
return { redis.call('HVALS', K.crons), workers }
