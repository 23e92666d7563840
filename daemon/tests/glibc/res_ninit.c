/* Prints what glibc itself reads from /etc/resolv.conf, one fact a line, for resolv_conf_against_glibc.rs.
 *
 * Run as `res_ninit FILE...` in a mount and UTS namespace of its own: it binds each file in turn over /etc/resolv.conf
 * and prints one block for it. Bytes that are not printable ASCII are written as \xNN.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (isgraph(c) && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	putchar('\n');
}

static void print_server(struct __res_state *state, int i)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in6 *six = state->_u._ext.nsaddrs[i];

	if (state->nsaddr_list[i].sin_family == AF_INET) {
		inet_ntop(AF_INET, &state->nsaddr_list[i].sin_addr, text, sizeof text);
		printf("nameserver %s\n", text);
	} else if (six != NULL) {
		/* In full: inet_ntop's way to shorten an address is not the only one. */
		printf("nameserver ");
		for (int j = 0; j < 16; j++)
			printf("%02x", six->sin6_addr.s6_addr[j]);
		printf(" scope %u\n", six->sin6_scope_id);
	}
}

static void print_conf(void)
{
	struct __res_state state;
	memset(&state, 0, sizeof state);
	if (res_ninit(&state) != 0) {
		perror("res_ninit");
		exit(1);
	}
	for (int i = 0; i < state.nscount; i++)
		print_server(&state, i);
	for (int i = 0; i < MAXDNSRCH && state.dnsrch[i] != NULL; i++) {
		printf("search ");
		print_escaped(state.dnsrch[i]);
	}
	printf("ndots %u\ntimeout %d\nattempts %d\n", state.ndots, state.retrans, state.retry);
	static const struct { const char *name; unsigned long flag; } flags[] = {
		{ "rotate", RES_ROTATE }, { "edns0", RES_USE_EDNS0 },
		{ "single-request-reopen", RES_SNGLKUPREOP }, { "single-request", RES_SNGLKUP },
		{ "no-tld-query", RES_NOTLDQUERY }, { "no-reload", RES_NORELOAD }, { "use-vc", RES_USEVC },
		{ "trust-ad", RES_TRUSTAD }, { "no-aaaa", RES_NOAAAA },
	};
	for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
		if (state.options & flags[i].flag)
			printf("flag %s\n", flags[i].name);
	res_nclose(&state);
}

int main(int argc, char **argv)
{
	/* A name without a dot, so that glibc derives no search list from it. */
	if (sethostname("node", 4) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
		perror("namespace");
		return 1;
	}
	unsetenv("LOCALDOMAIN");
	unsetenv("RES_OPTIONS");
	for (int i = 1; i < argc; i++) {
		if (mount(argv[i], "/etc/resolv.conf", NULL, MS_BIND, NULL) != 0) {
			perror(argv[i]);
			return 1;
		}
		print_conf();
		printf("end\n");
		if (umount2("/etc/resolv.conf", MNT_DETACH) != 0) {
			perror("umount");
			return 1;
		}
	}
	return 0;
}
