-- Spends ids, redeems tickets and issues tickets: all of it or nothing, the first conflict in this order.
-- Words: 5 how far ahead the clock of whoever makes ids may be, 6 ids, 7 redemptions, 8 issues; then for each
-- id until and made, for each redemption until when its tombstone is kept, for each issue until. ARGV from the
-- second on: each redemption's tombstone, each issue's value. A ticket is stored as 'redeemed epoch until value'.
local status = judged()
if status ~= 'sound' then
  return answer(status)
end
local ahead, ids = tonumber(words[5]), tonumber(words[6])
local redemptions, issues = tonumber(words[7]), tonumber(words[8])
local word, argument, key = 9, 2, 2
-- Made before this, it was made after the fence, or before it by a clock that is ahead: nobody can tell.
local certain = epoch.fence + ahead
local own, writes = {}, {}

local function conflict(reason)
  return answer('conflict', key - 2, reason)
end

local function write(value, instant)
  local name = KEYS[key]
  own[name] = true
  writes[#writes + 1] = { name, value, lifetime(instant) }
  key = key + 1
end

for _ = 1, ids do
  local ends, made = tonumber(words[word]), tonumber(words[word + 1])
  local spent = redis.call('GET', KEYS[key])
  -- An id may be claimed again when its first use is so old that it might as well have been cleared away,
  -- but only by a token that lives longer: the first must stay spent whatever the clock does.
  if own[KEYS[key]] or (spent and not (tonumber(spent) + KEEP < now and tonumber(spent) < ends)) then
    return conflict('spent')
  elseif made <= epoch.fence then
    return conflict('forgotten')
  elseif made <= certain and certain < now then
    return conflict('forgotten')
  elseif made <= certain then
    return answer('early', string.format('%.6f', certain))
  end
  write(words[word], ends)
  word = word + 2
end

for _ = 1, redemptions do
  local ticket = redis.call('GET', KEYS[key])
  if not ticket then
    return conflict('unknown')
  end
  local redeemed, number, ends = ticket:match('^(%d) (%S+) (%S+) ')
  if redeemed == '1' or own[KEYS[key]] then
    return conflict('spent')
  elseif number ~= epoch.number then
    return conflict('forgotten')
  elseif tonumber(ends) < now then
    return conflict('expired')
  end
  if tonumber(words[word]) > tonumber(ends) then
    ends = words[word]
  end
  write('1 ' .. number .. ' ' .. ends .. ' ' .. ARGV[argument], tonumber(ends))
  word, argument = word + 1, argument + 1
end

for _ = 1, issues do
  local ticket = redis.call('GET', KEYS[key])
  if own[KEYS[key]] or (ticket and tonumber(ticket:match('^%d %S+ (%S+) ')) >= now) then
    return conflict('exists')
  end
  local ends = words[word]
  write('0 ' .. epoch.number .. ' ' .. ends .. ' ' .. ARGV[argument], tonumber(ends))
  word, argument = word + 1, argument + 1
end

for _, row in ipairs(writes) do
  redis.call('SET', row[1], row[2], 'PX', row[3])
end
return answer('done')
