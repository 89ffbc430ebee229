-- The end of a job: for retention, and for those who wait for it.

local MAX_TOLD = 64 * 1024 -- a job of more bytes is fetched by who wants it

local ended = {}

local function note_end(id)
  ended[#ended + 1] = id
  write_pair('ZADD', K.finished, now, id)
  collect('HDEL', K.waits) -- so that its type is checked before anything is written
end

-- The message about a job: the lengths of its parts, then the parts; without blob when it's too large.
local function message_of(id)
  local sound, job = pcall(whole, id)
  local blob, text, extra = '', '', ''
  if sound then
    blob, text, extra = job[1], job[2], job[3]
  end
  if #blob + #text + #extra > MAX_TOLD then
    blob, text, extra = '', '', ''
  end
  return struct.pack('>I2I4I4', #id, #blob, #text) .. id .. blob .. text .. extra
end

local function tell_waiters()
  if #ended == 0 or redis.call('EXISTS', K.waits) == 0 then
    return
  end
  local waiting = hmget(K.waits, ended)
  for i = 1, #ended do
    if waiting[i] then
      local message = message_of(ended[i])
      for client in string.gmatch(waiting[i], '[^,]+') do
        redis.call('PUBLISH', K.done .. client, message)
      end
      redis.call('HDEL', K.waits, ended[i])
    end
  end
end

afterwards[#afterwards + 1] = tell_waiters
