-- get: jobs as they are now. See `Queue.get`.
-- Input: {ids}. Answers {blob, state, extra, blob, state, extra, ...}, as look.lua says.
local answer = {}
for i, id in ipairs(input[1]) do
  local job = whole(id)
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = job[1], job[2], job[3]
end
return answer
