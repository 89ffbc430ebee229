-- report: append news to the event stream. See `Queue.report`.  Input: {reports}, each of them
-- {kind, subject} or {kind, subject, data}.
for _, told in ipairs(input[1]) do
  report(unpack(told))
end
commit()
return 1
