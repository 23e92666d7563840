// What kubelet makes of a resolv.conf: kubelet's own code reads the file that is named
// on the command line and forms the DNS settings of a pod with dnsPolicy Default and of
// one with ClusterFirst. Both, and every warning event, are printed as JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/kubelet/network/dns"
)

// dnsSettings is the resolv.conf that the container runtime would write into the pod.
type dnsSettings struct {
	Servers  []string `json:"servers"`
	Searches []string `json:"searches"`
	Options  []string `json:"options"`
}

type report struct {
	Default      dnsSettings `json:"default"`
	ClusterFirst dnsSettings `json:"cluster_first"`
	Events       []string    `json:"events"`
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: kubelet-dns RESOLV.CONF")
	}
	klog.SetOutput(os.Stderr)
	report, err := read(os.Args[1])
	if err != nil {
		fail(err.Error())
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		fail(err.Error())
	}
}

func read(path string) (*report, error) {
	recorder := record.NewFakeRecorder(32)
	node := &v1.ObjectReference{Kind: "Node", Name: "node"}
	nodeIPs := []net.IP{net.ParseIP("10.99.0.1")}
	clusterDNS := []net.IP{net.ParseIP("10.96.0.10")}
	configurer := dns.NewConfigurer(recorder, node, nodeIPs, clusterDNS, "cluster.local", path)

	configurer.CheckLimitsForResolvConf(klog.Background())
	result := &report{}
	var err error
	if result.Default, err = settings(configurer, v1.DNSDefault); err != nil {
		return nil, err
	}
	if result.ClusterFirst, err = settings(configurer, v1.DNSClusterFirst); err != nil {
		return nil, err
	}
	close(recorder.Events)
	result.Events = []string{}
	for event := range recorder.Events {
		result.Events = append(result.Events, event)
	}
	return result, nil
}

// settings asks for a pod in a namespace whose name is as long as one may be: its search
// list leaves the least room for the node's domains.
func settings(configurer *dns.Configurer, policy v1.DNSPolicy) (dnsSettings, error) {
	pod := &v1.Pod{Spec: v1.PodSpec{DNSPolicy: policy}}
	pod.Name = "pod"
	pod.Namespace = strings.Repeat("n", 63)
	config, err := configurer.GetPodDNS(context.Background(), pod)
	if err != nil {
		return dnsSettings{}, fmt.Errorf("dnsPolicy %s: %w", policy, err)
	}
	return dnsSettings{
		Servers:  append([]string{}, config.Servers...),
		Searches: append([]string{}, config.Searches...),
		Options:  append([]string{}, config.Options...),
	}, nil
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "kubelet-dns:", message)
	os.Exit(1)
}
