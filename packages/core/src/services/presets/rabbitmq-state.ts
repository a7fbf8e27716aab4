import { inContainer } from './tools.js'
import type { StateKeeping } from './types.js'

const KEPT = '/var/lib/mayfly'

/**
 * Definitions, by the server's own export. What was made since goes; queues that were prepared come back empty, since
 * definitions hold no messages. One program of Erlang's is started for all of it: each takes half a second.
 * [rabbitmqctl export_definitions; rabbit_definitions:import_raw/1, since 3.8.2]
 */
export const rabbitmqState: StateKeeping = {
  beginsEmpty: true,
  keep: async ({ container }) => {
    // The server reads it as its own user.
    await inContainer(container, `set -e; mkdir -p ${KEPT}; rabbitmqctl -q export_definitions - > ${KEPT}/definitions.json; chmod 755 ${KEPT}; chmod 644 ${KEPT}/definitions.json`)
  },
  restore: async ({ container }) => {
    const said = await inContainer(container, 'rabbitmqctl -q eval "$0"', { words: [RESTORE] })
    if (!/^ok\s*$/.test(said)) await inContainer(container, 'printf %s "$0" >&2; exit 1', { words: [said] })
  },
}

const RESTORE = `
Who = <<"mayfly">>,
Read = file:read_file("${KEPT}/definitions.json"),
Kept = case Read of {ok, Text} -> rabbit_json:decode(Text); _ -> #{} end,
All = fun(What) -> [{maps:get(<<"vhost">>, One), maps:get(<<"name">>, One)} || One <- maps:get(What, Kept, [])] end,
{Queues, Exchanges} = {All(<<"queues">>), All(<<"exchanges">>)},
Name = fun({resource, Host, _, Own}) -> {Host, Own} end,
lists:foreach(fun(Host) ->
  lists:foreach(fun(Queue) ->
    case lists:member(Name(amqqueue:get_name(Queue)), Queues) of
      true -> rabbit_amqqueue:purge(Queue);
      false -> rabbit_amqqueue:delete(Queue, false, false, Who)
    end
  end, rabbit_amqqueue:list(Host)),
  lists:foreach(fun(Exchange) ->
    Full = element(2, Exchange),
    {_, Own} = Name(Full),
    Server = (Own =:= <<>>) orelse (binary:match(Own, <<"amq.">>) =:= {0, 4}),
    case Server orelse lists:member(Name(Full), Exchanges) of
      true -> ok;
      false -> rabbit_exchange:delete(Full, false, Who)
    end
  end, rabbit_exchange:list(Host))
end, rabbit_vhost:list_names()),
case Read of {ok, Raw} -> rabbit_definitions:import_raw(Raw); _ -> ok end.`
