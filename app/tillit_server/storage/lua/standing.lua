-- What every script begins with: is this the server, and the history of data, that our epoch was agreed on?
-- KEYS[1] the epoch. ARGV[1] is words, because each argument of its own costs both ends: 1 the epoch's number
-- ('-' any), 2 our clock, 3 the latest time of this server that we have heard, 4 how far our clock may be from
-- this server's ('-' not judged), then what the script takes. All of it is one act with what follows.
local KEEP = 300 -- seconds that a spent id or dead ticket outlives its time (TTLs only clear away)
local LAG = 10 -- a replica that has said nothing for so long is gone
local BACK = 60 -- a clock that goes back so far may have dropped keys before
local LONGEST = 315360000000 -- milliseconds; more than any TTL that makes sense

local words = {}
for word in ARGV[1]:gmatch('%S+') do
  words[#words + 1] = word
end
local now, tolerance = tonumber(words[2]), tonumber(words[4])
local clock = redis.call('TIME')
local time = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local link = redis.call('INFO', 'replication')
local history = link:match('master_replid:(%x+)')
local run = redis.call('INFO', 'server'):match('run_id:(%x+)')
local evicted = redis.call('INFO', 'stats'):match('evicted_keys:(%d+)')
local replicas = 0
-- At the turn of a second the server may say -1.
for lag in link:gmatch('state=online,offset=%d+,lag=(%-?%d+)') do
  if tonumber(lag) <= LAG then
    replicas = replicas + 1
  end
end
local names = { 'number', 'run', 'history', 'time', 'fence', 'replicated', 'lead', 'evicted' }
local fields = redis.call('HMGET', KEYS[1], unpack(names))
local epoch = {
  number = fields[1],
  run = fields[2],
  history = fields[3],
  time = tonumber(fields[4] or 0),
  fence = tonumber(fields[5] or 0),
  replicated = fields[6] == '1',
  lead = tonumber(fields[7] or 0),
  evicted = fields[8] or '0',
}
-- It dies before any id that can still be good, of a clock that is ahead for a moment.
local canary = { KEYS[1] .. ':canary', '1', 'PX', KEEP * 1000 }

local function judged()
  if link:match('role:(%a+)') ~= 'master' then
    return 'replica'
  elseif not (epoch.number and fields[5]) then
    return 'empty'
  elseif epoch.run ~= run then
    return 'restarted'
  elseif epoch.history ~= history then
    return 'history'
  elseif epoch.evicted ~= evicted then
    return 'evicted'
  elseif epoch.time < tonumber(words[3]) - 0.001 then
    return 'rolled back'
  elseif time < epoch.time - BACK then
    return 'clock back'
  elseif time < epoch.time + KEEP - 1 and not redis.call('GET', canary[1]) then
    return 'clock back'
  elseif words[1] ~= '-' and epoch.number ~= words[1] then
    return 'number'
  end
  -- Memory may be full: what must be written then fails by itself.
  if time >= epoch.time + 1 and redis.pcall('SET', unpack(canary)).ok then
    redis.pcall('HSET', KEYS[1], 'time', string.format('%.6f', time))
    epoch.time = time
  end
  if tolerance and math.abs(now - time) > tolerance then
    return 'clocks differ'
  end
  if tolerance and now - time > epoch.lead + 0.01 then
    epoch.lead = now - time
    redis.pcall('HSET', KEYS[1], 'lead', string.format('%.6f', epoch.lead))
  end
  if replicas > 0 and not epoch.replicated then
    redis.pcall('HSET', KEYS[1], 'replicated', '1')
    epoch.replicated = true
  end
  if replicas == 0 and epoch.replicated then
    return 'alone'
  end
  return 'sound'
end

-- One text again: the status, the latest time, whether there is a replica, the lead, then the script's own.
local function answer(status, ...)
  return table.concat({
    status,
    string.format('%.6f', epoch.time),
    epoch.replicated and '1' or '0',
    string.format('%.6f', epoch.lead),
    ...,
  }, '|')
end

local function lifetime(instant)
  local milliseconds = (math.max(instant, now) - now + KEEP) * 1000
  return string.format('%.0f', math.min(milliseconds, LONGEST))
end
