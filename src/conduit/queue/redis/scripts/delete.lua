-- delete: forget finished jobs. See `Queue.delete`.
-- Input: {ids}. Answers {acted, status, acted, status, ...}.
local ids = input[1]
load(ids)
local over = {}
for i = 1, #ids do
  if blobs[ids[i]] and finished(states[ids[i]]) then
    over[#over + 1] = ids[i]
  end
end
settle_dependants(over)
local answers, gone = {}, {}
for i = 1, #ids do
  local id = ids[i]
  local st = states[id]
  local acted, status = 'unknown', ''
  if blobs[id] and not gone[id] then
    if finished(st) then
      gone[id] = true
      forget(id)
      acted = 'done'
      event(E.DELETED, id, changed(st, {}))
    else
      acted, status = 'refused', st.status
    end
  end
  answers[2 * i - 1], answers[2 * i] = acted, status
end
commit()
note_repeat()
return answers
