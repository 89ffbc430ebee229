-- found: say of a new namespace which version its form has.  Input: {schema}.
if redis.call('HEXISTS', K.meta, 'schema') == 0 then
  redis.call('HSET', K.meta, 'schema', input[1])
end
return 1
