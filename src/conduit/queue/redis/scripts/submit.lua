-- submit: keep a batch of jobs, all of them or none. See `Queue.submit`.
-- Input: {jobs}, as keep.lua says. Answers the ids under which they run, or why none of them is kept,
-- as keep.lua says.
local answers, refusal = keep_all(input[1])
if not answers then
  return refusal
end
commit()
note_repeat()
return answers
