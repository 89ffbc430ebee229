-- lock: take a lock, or extend it if the token holds it. See `Queue.lock`.
-- Input: {name, token, ttl_ms}. An expiry absurdly far ahead is from a clock that jumped back.
local name, token, ttl_ms = input[1], input[2], input[3]
local stored = redis.call('HGET', K.locks, name)
if stored then
  local expires, holder = string.match(stored, '^(%d+) (.*)$')
  expires = tonumber(expires)
  if holder ~= token and expires > now and expires <= now + 2 * ttl_ms then
    return 0
  end
end
redis.call('HSET', K.locks, name, string.format('%.0f %s', now + ttl_ms, token))
return 1
