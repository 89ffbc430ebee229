-- watch: those of the jobs that are finished; where none is, ask to be told. See `wait_finished`.
--
-- Input: {ids, client}. Answers {missing or '', id, blob, state, extra, ...} of the finished ones.
local ids, client = input[1], input[2]
load(ids)
local answer = { '' }
for _, id in ipairs(ids) do
  if not blobs[id] then
    return { id }
  end
  if finished(states[id]) then
    local job = whole(id)
    local size = #answer
    answer[size + 1], answer[size + 2], answer[size + 3], answer[size + 4] = id, job[1], job[2], job[3]
  end
end
if #answer == 1 then
  local waiting = hmget(K.waits, ids)
  for i, id in ipairs(ids) do
    local clients = waiting[i]
    if not clients then
      write_pair('HSET', K.waits, id, client)
    elseif not string.find(',' .. clients .. ',', ',' .. client .. ',', 1, true) then
      write_pair('HSET', K.waits, id, clients .. ',' .. client)
    end
  end
  commit()
end
return answer
