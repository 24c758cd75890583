-- Adds to counters, each in a window that begins with its first count. Words from 5 on: for each key how many,
-- and the milliseconds of its window. Nothing is judged here: who is miscounted may ask once more, or waits.
local counted = {}
for number = 2, #KEYS do
  local total = redis.call('INCRBY', KEYS[number], words[2 * number + 1])
  local left = redis.call('PTTL', KEYS[number])
  if left < 0 then
    left = tonumber(words[2 * number + 2])
    redis.call('PEXPIRE', KEYS[number], left)
  end
  counted[#counted + 1] = total
  counted[#counted + 1] = left
end
return { answer('counted'), unpack(counted) }
