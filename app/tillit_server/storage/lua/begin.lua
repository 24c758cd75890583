-- Begins the epoch of that number, unless a later one has begun. Words: 5 its fence, 6 the lead.
if link:match('role:(%a+)') ~= 'master' then
  return answer('replica')
end
if epoch.number and tonumber(epoch.number) >= tonumber(words[1]) then
  return answer('later')
end
redis.call('SET', unpack(canary))
epoch.time, epoch.lead, epoch.replicated = time, tonumber(words[6]), replicas > 0
redis.call(
  'HSET', KEYS[1],
  'number', words[1],
  'run', run,
  'history', history,
  'evicted', evicted,
  'time', string.format('%.6f', time),
  'fence', words[5],
  'replicated', epoch.replicated and '1' or '0',
  'lead', words[6]
)
return answer('sound')
