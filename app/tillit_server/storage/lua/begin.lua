-- Begins the epoch ARGV[1], with ARGV[5] as its fence, unless a later one has begun. ARGV[6] is the lead.
if link:match('role:(%a+)') ~= 'master' then
  return answer('replica')
end
if epoch.number and tonumber(epoch.number) >= tonumber(ARGV[1]) then
  return answer('later')
end
epoch.time, epoch.lead, epoch.replicated = time, tonumber(ARGV[6]), replicas > 0
redis.call(
  'HSET', KEYS[1],
  'number', ARGV[1],
  'run', run,
  'history', history,
  'time', string.format('%.6f', time),
  'fence', ARGV[5],
  'replicated', epoch.replicated and '1' or '0',
  'lead', ARGV[6]
)
return answer('sound')
