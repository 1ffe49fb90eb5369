"""The Lua that makes each step of the queue one step. Redis runs a script alone and to its end.

Keys are computed inside the scripts rather than declared, because ids lead to other ids; that and
arq's own keys rule Redis Cluster out (one primary is what is documented). Everything of ours lies
under "vc:", so an ACL needs `~vc:* ~arq:*`.

    vc:rec:<id>          hash, the record of a job ("j…") or a command ("c…"); fields below
    vc:events:<job>      stream of a job's events, each {"e": JSON}
    vc:notes:<job>       list of the stream ids of its notes, so that only notes are ever trimmed
    vc:journal:<job>     list of journalled messages
    vc:issue:<repo>#<n>  the active job of an issue
    vc:active            zset of jobs that have not ended, by time received
    vc:commands          zset of commands not settled, by time received
    vc:jobs[:…]          zsets of jobs by time received: all, of a repository, of an actor, of an
                         installation
    vc:open:<inst>       zset of an installation's jobs that have not ended and wait for nobody
    vc:waiting           zset of jobs that wait for an approval, by since when
    vc:running:<inst>    zset of an installation's jobs under lease, by the lease's end: a semaphore
    vc:running:r<repo>   that heals itself; the same for a repository
    vc:wake:j, vc:wake:c lists that idle workers block on; vc:wake:o for what is in the outbox
    vc:outbox            zset of who is to be told of what, by when (ms): "<job>|<event id>|<whom>",
                         with nobody named while it is not known whom; outbox.py
    vc:delivery:<guid>   hash, one delivery; vc:deliveries: zset of those not parsed
    vc:about:<what>      list of the newest deliveries about a comment or a thread
    vc:memo:<key>        small receipts
    vc:pace:<inst>       hash: when its minute and its hour of writes to GitHub are whole again, and
                         until when GitHub wants none; ms by this server's clock
    vc:store             there once a worker has looked on GitHub for what an emptied store lost
    vc:marking           there while one looks
    vc:worker:<name>     there while that worker lives; vc:turn:<what>: whose turn to sweep it is

A record's fields: `fence` (the token of the last claim), `holder` (the queue entry that claim came
through, empty once it was given back), `entry` (the only queue entry that may be claimed), `n` (how
many entries there have been), `attempts` (claims since the last progress), `group`
("<installation>.<repository>"), `done`, `waits` (for an approval: no entry needed), `again` (once
finished, or settled, it is run once more), `cancel`, `steered` (the newest word to the agent),
`restored` (after a loss), `last` (event id), `ops` (recent appends, so that one repeated over a
broken connection counts once), `did:<cause>` (appends that happen once).
"""

# An entry's id is "<id>.<n>.<group>" and is never used again: arq keeps things by id. The group is
# in it so that a worker can share fairly among thousands of entries without reading each record.
# Versions before 0.2 knew no repository in it.
PRELUDE = """
local call = redis.call
local function rec_of(id) return 'vc:rec:' .. id end
local function lock_of(entry) return 'arq:in-progress:' .. entry end
local function id_of(entry) return string.match(entry, '^([^.]+)') end
local function installation_of(group) return string.match(group, '^[^.]+') end
local function running_of(entry)
  local installation, repository = string.match(entry, '^[^.]+%.%d+%.([^.]+)%.?(.*)$')
  local keys = {'vc:running:' .. installation}
  if repository ~= '' then keys[2] = 'vc:running:r' .. repository end
  return keys
end
local function is_job(id) return string.sub(id, 1, 1) == 'j' end
local function wake(id)
  local list = 'vc:wake:' .. string.sub(id, 1, 1)
  call('LPUSH', list, '1')
  call('LTRIM', list, 0, 63)
end
local function outbox(member)
  call('ZADD', 'vc:outbox', 'NX', 0, member)
  wake('o')
end
local function whole(id)
  local entry = call('HGET', rec_of(id), 'entry')
  return entry and call('ZSCORE', 'arq:queue', entry) and call('EXISTS', 'arq:job:' .. entry) == 1
    and entry
end
local function enqueue(id, now_ms, payload, keep_ms)
  local entry = whole(id)
  if entry and call('EXISTS', lock_of(entry)) == 0 then return entry end
  local n = call('HINCRBY', rec_of(id), 'n', 1)
  entry = id .. '.' .. n .. '.' .. call('HGET', rec_of(id), 'group')
  call('HSET', rec_of(id), 'entry', entry)
  call('SET', 'arq:job:' .. entry, payload, 'PX', keep_ms)
  call('ZADD', 'arq:queue', now_ms, entry)
  wake(id)
  return entry
end
-- Redis refuses what takes memory only to a script that has not begun to write. What running jobs
-- need to hold on, to end and to say so is small, and goes on where it is full.
local function even_when_full() call('DEL', 'vc:none') end
local function nearly_full(share)
  local memory = call('INFO', 'memory')
  local most = tonumber(string.match(memory, 'maxmemory:(%d+)'))
  return most > 0 and tonumber(string.match(memory, 'used_memory:(%d+)')) > share * most
end
local function give_back(entry, refund)
  local id = id_of(entry)
  call('DEL', lock_of(entry))
  if call('EXISTS', rec_of(id)) == 1 then
    call('HSET', rec_of(id), 'holder', '')
    if refund and tonumber(call('HGET', rec_of(id), 'attempts')) > 0 then
      call('HINCRBY', rec_of(id), 'attempts', -1)
    end
  end
  if is_job(id) then
    for _, running in ipairs(running_of(entry)) do call('ZREM', running, id) end
  end
  wake(id)
end
local function index(jid, now, group, actor)
  local installation, repository = string.match(group, '^([^.]+)%.(.+)$')
  for _, of in ipairs({'', ':repository:' .. repository, ':actor:' .. actor,
      ':installation:' .. installation}) do
    call('ZADD', 'vc:jobs' .. of, now, jid)
    call('ZREMRANGEBYRANK', 'vc:jobs' .. of, 0, -5001)
    if of ~= '' then call('EXPIRE', 'vc:jobs' .. of, 90 * 86400) end
  end
  call('ZADD', 'vc:active', now, jid)
  call('ZADD', 'vc:open:' .. installation, now, jid)
end
local function drop(entry)
  call('DEL', 'arq:job:' .. entry, 'arq:retry:' .. entry)
  call('ZREM', 'arq:queue', entry)
end
"""

# -> 1 kept, 0 seen before
KEEP_DELIVERY = """
local guid, event, body, received_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local key = 'vc:delivery:' .. guid
if call('EXISTS', key) == 1 then return 0 end
call('HSET', key, 'event', event, 'body', body, 'received_at', received_at)
call('ZADD', 'vc:deliveries', received_at, guid)
return 1
"""

# ARGV[6] and on: what it is about, by which it is found again.
SETTLE_DELIVERY = """
local guid, verdict, keep, command, repository = unpack(ARGV, 1, 5)
local key = 'vc:delivery:' .. guid
call('HSET', key, 'verdict', verdict)
if command .. repository ~= '' then
  call('HSET', key, 'command', command, 'repository', repository)
end
for i = 6, #ARGV do
  local list = 'vc:about:' .. ARGV[i]
  call('LREM', list, 0, guid)
  call('LPUSH', list, guid)
  call('LTRIM', list, 0, 19)
  call('EXPIRE', list, keep)
end
call('HDEL', key, 'body')
call('EXPIRE', key, keep)
call('ZREM', 'vc:deliveries', guid)
return 1
"""

# -> {1 new | 0 known, job id or "", the busy job's id or "", and why there is no room for a job:
# "1" Redis is nearly full, "2" its installation has too many open, or ""}
SUBMIT = """
local cid, command, now, now_ms, group, payload, keep_ms, limit, most = unpack(ARGV, 1, 9)
local jid, received, repository, issue, actor, fence, told = unpack(ARGV, 10, 16)
local rec = rec_of(cid)
if call('EXISTS', rec) == 1 then
  return {0, call('HGET', rec, 'job'), call('HGET', rec, 'busy'), call('HGET', rec, 'full')}
end
local busy, full = '', ''
if received ~= '' and call('EXISTS', rec_of(jid)) == 0 then
  local thread = issue ~= '' and 'vc:issue:' .. repository .. '#' .. issue
  local active = thread and call('GET', thread)
  if active and call('EXISTS', rec_of(active)) == 1 then
    busy, jid = active, ''
  elseif nearly_full(tonumber(limit)) then
    full, jid = '1', ''
  elseif call('ZCARD', 'vc:open:' .. installation_of(group)) >= tonumber(most) then
    full, jid = '2', ''
  else
    local first = call('XADD', 'vc:events:' .. jid, '*', 'e', received)
    call('HSET', rec_of(jid), 'fence', fence, 'n', 0, 'attempts', 0, 'group', group,
      'thread', thread or '', 'last', first)
    if thread then call('SET', thread, jid) end
    index(jid, now, group, actor)
  end
end
if told == '1' and busy .. full ~= '' then return {1, jid, busy, full} end
call('HSET', rec, 'command', command, 'job', jid, 'busy', busy, 'full', full, 'group', group,
  'fence', fence, 'n', 0, 'attempts', 0)
call('ZADD', 'vc:commands', now, cid)
enqueue(cid, now_ms, payload, keep_ms)
return {1, jid, busy, full}
"""

MARK = """
if call('GET', 'vc:store') == ARGV[1] then return 1 end
if call('GET', 'vc:marking') ~= ARGV[1] then return 0 end
call('SET', 'vc:store', ARGV[1])
call('DEL', 'vc:marking')
return 1
"""

# A job of that id may be there already, made anew by a delivery that came meanwhile: as long as
# nobody began with it, it becomes the one that was lost. -> 1, or 0 where it was begun
RESTORE_JOB = """
local jid, now, now_ms, group, thread, actor = unpack(ARGV, 1, 6)
local ended, waits, payload, keep_ms, record_kept = unpack(ARGV, 7, 11)
local new = call('EXISTS', rec_of(jid)) == 0
if not new then
  local begun = call('HMGET', rec_of(jid), 'holder', 'done', 'restored')
  if begun[1] or begun[2] or begun[3] then return 0 end
end
local last = call('HGET', rec_of(jid), 'last')
for i = new and 12 or 13, #ARGV do
  last = call('XADD', 'vc:events:' .. jid, '*', 'e', ARGV[i])
end
if new then
  call('HSET', rec_of(jid), 'fence', now_ms, 'n', 0, 'attempts', 0, 'group', group, 'thread', '')
  index(jid, now, group, actor)
end
call('HSET', rec_of(jid), 'last', last, 'waits', waits, 'restored', '1')
local open = 'vc:open:' .. installation_of(group)
if ended == '1' then
  call('HSET', rec_of(jid), 'done', '1', 'ended_by', '')
  for _, set in ipairs({'vc:active', open}) do call('ZREM', set, jid) end
  for _, key in ipairs({rec_of(jid), 'vc:events:' .. jid}) do call('EXPIRE', key, record_kept) end
  return 1
end
if thread ~= '' and call('SET', thread, jid, 'NX') then
  call('HSET', rec_of(jid), 'thread', thread)
end
if waits == '1' then
  call('ZADD', 'vc:waiting', now, jid)
  call('ZREM', open, jid)
  local entry = whole(jid)
  if entry then drop(entry) end
else enqueue(jid, now_ms, payload, keep_ms) end
return 1
"""

# -> 1 settled, 0 unknown
SETTLE = """
local cid, verdict, keep = ARGV[1], ARGV[2], ARGV[3]
call('ZREM', 'vc:commands', cid)
if call('EXISTS', rec_of(cid)) == 0 then return 0 end
call('HSET', rec_of(cid), 'done', '1', 'verdict', verdict)
call('EXPIRE', rec_of(cid), keep)
return 1
"""

# -> {"ok", last event id} | {"unknown"} | {"lost"} | {"conflict"}
APPEND = """
even_when_full()
local jid, token, seen, op, cause, now_ms, run, payload, keep_ms = unpack(ARGV, 1, 9)
local notes_kept, record_kept, journal_kept = tonumber(ARGV[10]), ARGV[11], ARGV[12]
local rec, events, notes = rec_of(jid), 'vc:events:' .. jid, 'vc:notes:' .. jid
if call('EXISTS', rec) == 0 then return {'unknown', ''} end
local ops = call('HGET', rec, 'ops') or ''
local again = string.match(ops, op .. '=([%d-]+)')
  or (cause ~= '' and call('HGET', rec, 'did:' .. cause))
if again then return {'ok', again} end
if token ~= '' then
  if call('HGET', rec, 'fence') ~= token then return {'lost', ''} end
  if call('HGET', rec, 'done') == '1' and call('HGET', rec, 'ended_by') ~= token then
    return {'lost', ''}
  end
end
local open = 'vc:open:' .. installation_of(call('HGET', rec, 'group'))
local last = call('HGET', rec, 'last')
if seen ~= '' and seen ~= last then return {'conflict', last} end
local ended = false
for i = 13, #ARGV, 2 do
  local mark = ARGV[i]
  last = call('XADD', events, '*', 'e', ARGV[i + 1])
  if mark == 'note' then
    call('RPUSH', notes, last)
    if call('LLEN', notes) > notes_kept then call('XDEL', events, call('LPOP', notes)) end
  elseif mark == 'waits' then
    outbox(jid .. '|' .. last .. '|')
    call('HSET', rec, 'waits', '1', 'attempts', 0)
    call('ZADD', 'vc:waiting', now_ms / 1000, jid)
    call('ZREM', open, jid)
  elseif mark == 'approved' then
    call('HSET', rec, 'waits', '', 'attempts', 0)
    call('ZREM', 'vc:waiting', jid)
    call('ZADD', open, now_ms / 1000, jid)
  elseif mark == 'steer' then call('HSET', rec, 'steered', last)
  elseif mark == 'progress' then call('HSET', rec, 'attempts', 1)
  elseif mark == 'cancel' then
    call('HSET', rec, 'cancel', '1')
    local entry = whole(jid)  -- which may be deferred, after failures
    if entry then call('ZADD', 'arq:queue', 'XX', 'LT', now_ms, entry) end
  elseif mark == 'end' then
    outbox(jid .. '|' .. last .. '|')
    ended = true
  end
end
call('HSET', rec, 'last', last, 'ops', string.sub(ops .. op .. '=' .. last .. ';', -800))
if cause ~= '' then call('HSET', rec, 'did:' .. cause, last) end
if ended then
  call('HSET', rec, 'done', '1', 'ended_by', token, 'waits', '')
  local thread = call('HGET', rec, 'thread')
  if thread ~= '' and call('GET', thread) == jid then call('DEL', thread) end
  for _, set in ipairs({'vc:active', 'vc:waiting', open}) do call('ZREM', set, jid) end
  if token == '' then call('HSET', rec, 'cancel', '1') end  -- whoever works on it still: let go
  for _, key in ipairs({rec, events}) do call('EXPIRE', key, record_kept) end
  call('EXPIRE', 'vc:journal:' .. jid, journal_kept)
end
if call('HGET', rec, 'done') == '1' then call('EXPIRE', notes, record_kept) end
if run == '1' then enqueue(jid, now_ms, payload, keep_ms) end
return {'ok', last}
"""

# -> the entry, or "" for an unknown job
ENQUEUE = """
local id, now_ms, payload, keep_ms = unpack(ARGV)
if call('EXISTS', rec_of(id)) == 0 then return '' end
return enqueue(id, now_ms, payload, keep_ms)
"""

# An old owner may have written over its successor's words: whoever finishes the job, or settled the
# command, looks at it once more. -> 1, or 0 for an unknown one
AGAIN = """
local id, now_ms, payload, keep_ms = unpack(ARGV)
local holder = call('HGET', rec_of(id), 'holder')
if call('EXISTS', rec_of(id)) == 0 then return 0 end
local held = holder and holder ~= '' and call('EXISTS', lock_of(holder)) == 1
if held or not is_job(id) then call('HSET', rec_of(id), 'again', '1') end
if not held then enqueue(id, now_ms, payload, keep_ms) end
return 1
"""

# What is kept of a job goes: its conversations at once, the rest when whoever works on it has let
# go. To be called once the job has ended.
FORGET = """
local jid, soon = unpack(ARGV)
local group = call('HGET', rec_of(jid), 'group')
call('DEL', 'vc:journal:' .. jid)
for _, key in ipairs({rec_of(jid), 'vc:events:' .. jid, 'vc:notes:' .. jid}) do
  call('EXPIRE', key, soon)
end
if group then
  local installation, repository = string.match(group, '^([^.]+)%.?(.*)$')
  for _, of in ipairs({'', ':repository:' .. repository, ':installation:' .. installation}) do
    call('ZREM', 'vc:jobs' .. of, jid)
  end
end
return 1
"""

# For each id of the set: put back what has no whole entry. -> the ids put back
RESTORE = """
local set, now_ms, keep_ms = unpack(ARGV, 1, 3)
local restored = {}
for i = 4, #ARGV, 2 do
  local id, payload = ARGV[i], ARGV[i + 1]
  local done, waits, n = unpack(call('HMGET', rec_of(id), 'done', 'waits', 'n'))
  if not n or done == '1' then call('ZREM', set, id)
  elseif waits ~= '1' and n ~= '0' and not whole(id) then
    enqueue(id, now_ms, payload, keep_ms)
    restored[#restored + 1] = id
  end
end
return restored
"""

# -> "ok" | "lost" | "full"
JOURNAL = """
local jid, token, op, entry, cap, keep = unpack(ARGV)
local rec, journal = rec_of(jid), 'vc:journal:' .. jid
if call('HGET', rec, 'fence') ~= token then return 'lost' end
local newest = call('LINDEX', journal, -1)
if newest and string.sub(newest, 1, #op) == op then return 'ok' end
if call('HINCRBY', rec, 'journal', #entry) > tonumber(cap) then return 'full' end
call('RPUSH', journal, op .. entry)
if call('HGET', rec, 'done') == '1' then call('EXPIRE', journal, keep) end
return 'ok'
"""

# arq has just put its provisional lock "1" on the entry; make it a lease, or take it away again.
# -> {token, attempts, cancel} | {"elsewhere"} | {"later"} | {"stale"}
CLAIM = """
local entry, worker, lease_ms, now_ms = unpack(ARGV, 1, 4)
local limits = {tonumber(ARGV[5]), tonumber(ARGV[6])}  -- for an installation, for a repository
local id = id_of(entry)
local rec, lock = rec_of(id), lock_of(entry)
local fence, current, holder, done = unpack(call('HMGET', rec, 'fence', 'entry', 'holder', 'done'))
local held = call('GET', lock)
if not (fence and held == fence .. ':' .. worker) then
  if held ~= '1' then return {'elsewhere'} end
  local over = done == '1' and not is_job(id) and call('HDEL', rec, 'again') == 0
  if not fence or current ~= entry or over then
    call('DEL', lock)
    drop(entry)
    return {'stale'}
  end
  if holder and holder ~= '' and holder ~= entry and call('EXISTS', lock_of(holder)) == 1 then
    call('DEL', lock)
    call('ZADD', 'arq:queue', 'XX', now_ms + lease_ms / 50, entry)
    return {'later'}
  end
  if is_job(id) then
    for i, running in ipairs(running_of(entry)) do
      call('ZREMRANGEBYSCORE', running, '-inf', now_ms)
      if not call('ZSCORE', running, id) and call('ZCARD', running) >= limits[i] then
        call('DEL', lock)
        return {'later'}
      end
    end
    for _, running in ipairs(running_of(entry)) do
      call('ZADD', running, now_ms + lease_ms, id)
    end
  end
  -- The time is in it, because a replica that was made the primary may not know of the last claim.
  fence = string.format('%.0f', math.max(tonumber(fence) + 1, tonumber(now_ms)))
  call('HINCRBY', rec, 'attempts', 1)
  call('HSET', rec, 'fence', fence, 'holder', entry)
  call('SET', lock, fence .. ':' .. worker, 'PX', lease_ms)
end
return {fence, call('HGET', rec, 'attempts'), call('HGET', rec, 'cancel') or ''}
"""

# For each (entry, token): 0 lost, 1 held, 2 held and somebody asked to stop. A lease that lapsed
# while Redis or we were away, and that nobody took, is taken up again.
RENEW = """
even_when_full()
local worker, lease_ms, now_ms = unpack(ARGV, 1, 3)
local answers = {}
for i = 4, #ARGV, 2 do
  local entry, token = ARGV[i], ARGV[i + 1]
  local id = id_of(entry)
  local fence, holder, cancel = unpack(call('HMGET', rec_of(id), 'fence', 'holder', 'cancel'))
  local held = call('GET', lock_of(entry))
  local mine = token .. ':' .. worker
  if fence ~= token or holder ~= entry or (held and held ~= mine) then
    answers[#answers + 1] = 0
  else
    call('SET', lock_of(entry), mine, 'PX', lease_ms)
    if is_job(id) then
      for _, running in ipairs(running_of(entry)) do
        call('ZADD', running, now_ms + lease_ms, id)
      end
    end
    answers[#answers + 1] = cancel == '1' and 2 or 1
  end
end
return answers
"""

# outcome: "finish" takes the entry off the queue, "again" leaves it, "refund" leaves it and does
# not count the attempt, "expired" takes it off so that the sweep makes another. -> 1, or 0 where
# the lease is no longer ours and nothing was touched
FINISH = """
even_when_full()
local entry, worker, token, outcome, defer_ms = unpack(ARGV)
local id = id_of(entry)
local fence, holder = unpack(call('HMGET', rec_of(id), 'fence', 'holder'))
local held = call('GET', lock_of(entry))
if fence ~= token or holder ~= entry or (held and held ~= token .. ':' .. worker) then return 0 end
give_back(entry, outcome == 'refund')
if outcome == 'finish' and call('HEXISTS', rec_of(id), 'again') == 1 then
  outcome = 'again'
  -- A settled command keeps it, as its leave to be claimed.
  if is_job(id) then call('HDEL', rec_of(id), 'again') end
end
if outcome == 'finish' or call('EXISTS', 'arq:job:' .. entry) == 0 then drop(entry)
elseif tonumber(defer_ms) > 0 then call('ZINCRBY', 'arq:queue', defer_ms, entry) end
return 1
"""

# The last act of a worker that was told to stop: whatever it still holds goes back.
RELEASE = """
even_when_full()
local worker = ARGV[1]
for i = 2, #ARGV do
  local held = call('GET', lock_of(ARGV[i]))
  if held == '1' then call('DEL', lock_of(ARGV[i]))
  elseif held and string.match(held, ':(.*)$') == worker then give_back(ARGV[i], true) end
end
return 1
"""

# Two buckets by the generic cell rate algorithm. -> ms until the write may go out, and how many the
# hour's bucket holds. Beyond `patience` nothing is taken.
PACE = """
local key, patience = 'vc:pace:' .. ARGV[1], tonumber(ARGV[2])
local buckets = {
  {'minute', tonumber(ARGV[3]), tonumber(ARGV[4])},
  {'hour', tonumber(ARGV[5]), tonumber(ARGV[6])},
}
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local at = math.max(now, tonumber(call('HGET', key, 'until') or 0))
local whole_at, left = {}, 0
for i, bucket in ipairs(buckets) do
  local name, size, every = unpack(bucket)
  whole_at[i] = math.max(now, tonumber(call('HGET', key, name) or 0))
  at = math.max(at, whole_at[i] - (size - 1) * every)
  left = math.max(0, size - math.ceil((whole_at[i] - now) / every))
end
if at - now <= patience then
  for i, bucket in ipairs(buckets) do
    call('HSET', key, bucket[1], string.format('%.0f', math.max(at, whole_at[i]) + bucket[3]))
  end
  call('PEXPIRE', key, math.max(2 * 3600 * 1000, call('PTTL', key)))
end
return {at - now, left}
"""

HOLD = """
local key, ms = 'vc:pace:' .. ARGV[1], tonumber(ARGV[2])
local clock = call('TIME')
local till = clock[1] * 1000 + math.floor(clock[2] / 1000) + ms
local known = tonumber(call('HGET', key, 'until') or 0)
call('HSET', key, 'until', string.format('%.0f', math.max(till, known)))
call('PEXPIRE', key, math.max(2 * 3600 * 1000, ms, call('PTTL', key)))
return 1
"""
