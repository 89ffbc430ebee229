-- What a job looks like, and reading and writing many of them.

-- A job is a blob, fixed at submission, and a state. One that was never touched since it was queued
-- has no state stored: it is `FRESH`. That, and `is_sound`, `named` and `packed`, between a state as it
-- is stored and a table of its fields, are made by layout.py, where the fields stand.

-- What stands in the place of a state that isn't one: no verb acts on such a job.
local BROKEN = { status = '?', seq = 0 }

local unpacked = {} -- the states of a batch are mostly alike: each text is decoded once

local function state_from(text)
  if not text then
    return FRESH
  end
  local st = unpacked[text]
  if not st then
    local read, found = pcall(cmsgpack.unpack, text)
    st = read and is_sound(found) and named(found) or BROKEN
    unpacked[text] = st
  end
  return st
end

local blobs, states = {}, {}

-- Read jobs into `blobs` and `states`; an id that isn't stored has no blob, nor has one whose state
-- isn't one. States are shared
-- between jobs and never changed in place: see `changed`.
local function load(ids)
  local found = hmget(K.jobs, ids)
  local stored = {}
  for i = 1, #ids do
    if blobs[ids[i]] == nil then
      blobs[ids[i]] = found[i]
      if found[i] then
        stored[#stored + 1] = ids[i]
      end
    end
  end
  local texts = hmget(K.states, stored)
  for i = 1, #stored do
    local st = state_from(texts[i])
    states[stored[i]] = st
    if st == BROKEN then
      blobs[stored[i]] = false
    end
  end
end

local function changed(st, with)
  local copy = {}
  for name, value in pairs(st) do
    copy[name] = value
  end
  for name, value in pairs(with) do
    copy[name] = value
  end
  copy.seq = st.seq + 1
  return copy
end

local function save(id, st, text)
  states[id] = st
  write_pair('HSET', K.states, id, text or packed(st))
end

-- When a function began, by `transitions.began_at`; nil where that isn't known.
local function began(st, ms_ago)
  if st.started_at or not ms_ago then
    return st.started_at
  end
  return math.max(math.min(now - ms_ago, now), st.claimed_at or 0)
end

-- How long ago it began, as events tell it.
local function ago(st)
  return st.started_at and now - st.started_at or nil
end

-- The fixed part of a job: its number, when it was submitted, its priority, its lane.
local function header(blob)
  local n, at, priority, lane = struct.unpack(BLOB.HEAD, blob)
  return n, at, priority - 100, lane
end

-- The rest of it, as JSON in the order of `TERM`.
local function terms_of(blob)
  local _, _, _, _, _, at = struct.unpack(BLOB.WHOLE, blob)
  return string.sub(blob, at)
end

local function lane_of(queue, name)
  return #queue .. ':' .. queue .. ':' .. name
end

local function queue_of(lane)
  local length, from = string.match(lane, '^(%d+):()')
  return string.sub(lane, from, from + length - 1)
end

local function function_of(lane)
  local length, from = string.match(lane, '^(%d+):()')
  return string.sub(lane, from + length + 1)
end

local function finished(st)
  return st.status == S.COMPLETED or st.status == S.FAILED or st.status == S.CANCELLED
end
