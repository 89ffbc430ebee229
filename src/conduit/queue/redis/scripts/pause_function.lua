-- pause_function: stop claims of a function's jobs. See `Queue.pause_function`.  Input: {name}.
if redis.call('SISMEMBER', K.paused_functions, input[1]) == 0 then
  write('SADD', K.paused_functions, input[1])
  report('function.paused', input[1])
end
commit()
return 1
