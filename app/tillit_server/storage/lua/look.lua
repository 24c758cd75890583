-- Reads the keys that follow the epoch's: values, or the reason why nothing here can be believed.
local status = judged()
if status ~= 'sound' then
  return answer(status)
end
local keys = {}
for number = 2, #KEYS do
  keys[#keys + 1] = KEYS[number]
end
return answer(status, #keys > 0 and redis.call('MGET', unpack(keys)) or {})
