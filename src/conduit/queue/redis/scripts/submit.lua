-- submit: keep a batch of jobs, all of them or none. See `Queue.submit`.
-- Input: {jobs}, as keep.lua says. Answers the ids under which they run, or {'CONFLICT', id}.
local answers, conflict = keep_all(input[1])
if not answers then
  return { 'CONFLICT', conflict }
end
commit()
note_repeat()
return answers
