/**
 * Lines of a shell script that make the network namespace it runs in a machine whose only neighbour is 203.0.113.1: a web
 * server there tells who asks, and datagrams to port 7 come back. `$node` is Node. Ended with the shell.
 */
export function internet(forward: 0 | 1): readonly string[] {
  const server = 'require("http").createServer((q, s) => s.end(q.socket.remoteAddress)).listen(80, "203.0.113.1", () => console.log("up")); const u = require("dgram").createSocket("udp4"); u.on("message", (m, from) => u.send(m, from.port, from.address)).bind(7, "203.0.113.1")'
  return [
    'ip link set lo up', `echo ${forward} > /proc/sys/net/ipv4/ip_forward`,
    'unshare --net sleep 1000 & outside=$!', 'trap "kill $outside" EXIT',
    'until [ "$(readlink /proc/$outside/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done',
    'ip link add out type veth peer name in netns /proc/$outside/ns/net', 'ip addr add 203.0.113.2/24 dev out', 'ip link set out up',
    'nsenter -t $outside -n sh -c "ip addr add 203.0.113.1/24 dev in; ip link set in up; ip link set lo up"',
    'ip route add default via 203.0.113.1',
    `nsenter -t $outside -n "$node" -e '${server}' > /tmp/up.$$ & serving=$!`, 'trap "kill $outside $serving; rm -f /tmp/up.$$" EXIT', 'until grep -q up /tmp/up.$$; do sleep 0.01; done',
  ]
}
