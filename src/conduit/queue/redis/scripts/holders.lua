-- Keys that name jobs, and who holds them.

local key_holders = {} -- what this batch has changed

-- The job that holds a key: unfinished, or within its window.
local function holder_of(key)
  local id = key_holders[key] or redis.call('HGET', K.keys, key)
  if not id then
    return nil
  end
  load({ id })
  local st = states[id]
  if blobs[id] and (not finished(st) or (st.unique_until or 0) > now) then
    return id
  end
  return nil
end

local function take_key(key, id)
  key_holders[key] = id
  write_pair('HSET', K.keys, key, id)
end
