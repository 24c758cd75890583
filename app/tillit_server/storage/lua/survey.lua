-- What there is to know of this server before an epoch is agreed on.
local status = judged()
return answer(
  status,
  epoch.number or '0',
  string.format('%.6f', time),
  redis.call('INFO', 'memory'):match('maxmemory_policy:(%S+)') or '',
  redis.call('INFO', 'cluster'):match('cluster_enabled:(%d)') or '',
  replicas,
  string.format('%.6f', epoch.fence)
)
