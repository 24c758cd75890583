-- Reads the keys that follow the epoch's: values, or the reason why nothing here can be believed.
local status = judged()
if status ~= 'sound' or #KEYS == 1 then
  return answer(status)
end
return { answer(status), unpack(redis.call('MGET', unpack(KEYS, 2))) }
