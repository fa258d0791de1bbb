-- Adds a point to the history of a client, unless the client was forgotten since.
-- KEYS: what is known of the client, its history. ARGV: the line, the second of its receipt, the most points, the
-- most seconds that they are kept, the most seconds that the history is kept after its last point.

local known = redis.pcall('GET', KEYS[1])
if type(known) == 'string' then
  local era, received = tonumber(string.sub(known, 1, 10)) or 0, tonumber(ARGV[2])
  local is_tombstone = string.sub(known, 12, 12) == '-'
  if received < era or (is_tombstone and received == era) then
    return 0
  end
end
if redis.call('TYPE', KEYS[2]).ok ~= 'stream' then
  redis.call('DEL', KEYS[2])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], '*', 'line', ARGV[1], 'received', ARGV[2])
local oldest = (tonumber(redis.call('TIME')[1]) - tonumber(ARGV[4])) * 1000
redis.call('XTRIM', KEYS[2], 'MINID', '~', string.format('%.0f', math.max(oldest, 0)))
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
