package helm_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// given are what a values file expects to be in the cluster.
var given = []string{
	"Secret/api-keys", "Secret/database", "Secret/s3", "Secret/repository", "Secret/weaviate",
	"PersistentVolumeClaim/engines", "PersistentVolumeClaim/models", "ServiceAccount/default",
}

// Whatever is referred to by name is there: API servers and kubelets find out only when a pod starts.
func TestReferencesHold(t *testing.T) {
	for _, values := range valuesFiles(t) {
		objects := render(t, "--values", values)
		r := references{objects: objects, problem: func(format string, arguments ...any) {
			t.Helper()
			t.Errorf("%s: %s", values, fmt.Sprintf(format, arguments...))
		}}
		for _, o := range objects {
			r.check(o)
		}
		if r.checked < 8 {
			t.Errorf("%s: only %d references were found", values, r.checked)
		}
	}
}

type references struct {
	objects []object
	problem func(format string, arguments ...any)
	checked int
}

func (r *references) check(o object) {
	switch o.kind() {
	case "Deployment", "Job":
		r.pod(o)
	case "Service":
		pods := r.selected(o, o.at("spec", "selector"))
		for _, port := range o.list("spec", "ports") {
			r.port(o, pods, port.text("targetPort"))
		}
	case "NetworkPolicy":
		pods := r.selected(o, o.at("spec", "podSelector", "matchLabels"))
		for _, rule := range o.list("spec", "ingress") {
			for _, port := range rule.list("ports") {
				r.port(o, pods, port.text("port"))
			}
		}
		for _, rule := range o.list("spec", "egress") {
			for _, to := range rule.list("to") {
				if selector := to.at("podSelector", "matchLabels"); selector != nil {
					peers := r.selected(o, selector)
					for _, port := range rule.list("ports") {
						r.port(o, peers, port.text("port"))
					}
				}
			}
		}
	case "PodDisruptionBudget":
		r.selected(o, o.at("spec", "selector", "matchLabels"))
	case "HorizontalPodAutoscaler", "ScaledObject":
		target := "Deployment/" + o.text("spec", "scaleTargetRef", "name")
		r.there(o, target)
		for _, d := range r.objects {
			if "Deployment/"+d.name() == target && d.kind() == "Deployment" && d.at("spec", "replicas") != nil {
				r.problem("%s has replicas of its own beside %s", target, o.kind())
			}
		}
	case "Ingress":
		for _, rule := range o.list("spec", "rules") {
			for _, path := range rule.list("http", "paths") {
				r.servicePort(o, path.text("backend", "service", "name"), path.text("backend", "service", "port", "name"))
			}
		}
	case "HTTPRoute":
		for _, rule := range o.list("spec", "rules") {
			for _, backend := range rule.list("backendRefs") {
				r.servicePort(o, backend.text("name"), backend.at("port"))
			}
		}
	case "ServiceMonitor":
		for _, endpoint := range o.list("spec", "endpoints") {
			services := 0
			for _, s := range r.objects {
				if s.kind() == "Service" && matches(o.at("spec", "selector", "matchLabels"), s.at("metadata", "labels")) {
					services++
					r.servicePort(o, s.name(), endpoint.text("port"))
				}
			}
			if services != 1 {
				r.problem("%s %s selects %d services", o.kind(), o.name(), services)
			}
		}
	}
}

// pod checks the names in a pod template.
func (r *references) pod(o object) {
	spec := object(o.at("spec", "template", "spec").(map[string]any))
	if selector := o.at("spec", "selector", "matchLabels"); selector != nil && !matches(selector, o.at("spec", "template", "metadata", "labels")) {
		r.problem("%s does not select its own pods", o.name())
	}
	if account := spec.text("serviceAccountName"); account != "" {
		r.there(o, "ServiceAccount/"+account)
	}
	volumes := map[string]bool{}
	for _, volume := range spec.list("volumes") {
		volumes[volume.text("name")] = true
		for _, source := range [][3]string{{"ConfigMap", "configMap", "name"}, {"Secret", "secret", "secretName"}, {"PersistentVolumeClaim", "persistentVolumeClaim", "claimName"}} {
			if name := volume.text(source[1], source[2]); name != "" {
				r.there(o, source[0]+"/"+name)
			}
		}
	}
	used := map[string]bool{}
	for _, c := range slices.Concat(spec.list("initContainers"), spec.list("containers")) {
		for _, mount := range c.list("volumeMounts") {
			used[mount.text("name")] = true
			r.checked++
			if !volumes[mount.text("name")] {
				r.problem("%s %s mounts %s, which is no volume", o.name(), c.text("name"), mount.text("name"))
			}
		}
		for _, variable := range c.list("env") {
			if secret := variable.text("valueFrom", "secretKeyRef", "name"); secret != "" {
				r.there(o, "Secret/"+secret)
				r.secretKey(o, secret, variable.text("valueFrom", "secretKeyRef", "key"))
			}
		}
		for _, probe := range []string{"startupProbe", "readinessProbe", "livenessProbe"} {
			if c.at(probe) != nil {
				r.port(o, []object{o}, c.text(probe, "httpGet", "port"))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(volumes)) {
		if !used[name] {
			r.problem("%s mounts the volume %s nowhere", o.name(), name)
		}
	}
}

func (r *references) there(from object, want string) {
	r.checked++
	if slices.Contains(given, want) {
		return
	}
	for _, o := range r.objects {
		if o.kind()+"/"+o.name() == want {
			return
		}
	}
	r.problem("%s %s refers to %s, which is not there", from.kind(), from.name(), want)
}

func (r *references) secretKey(from object, secret, key string) {
	for _, o := range r.objects {
		if o.kind() == "Secret" && o.name() == secret && o.at("data", key) == nil {
			r.problem("%s wants the key %s of the secret %s, which has none", from.name(), key, secret)
		}
	}
}

// selected are the Deployments whose pods have these labels; there must be one.
func (r *references) selected(from object, selector any) []object {
	r.checked++
	var pods []object
	for _, o := range r.objects {
		if o.kind() == "Deployment" && matches(selector, o.at("spec", "template", "metadata", "labels")) {
			pods = append(pods, o)
		}
	}
	if len(pods) != 1 {
		r.problem("%s %s selects the pods of %d Deployments by %v", from.kind(), from.name(), len(pods), selector)
	}
	return pods
}

// port must be the name of a container's port in all pods.
func (r *references) port(from object, pods []object, name string) {
	r.checked++
	for _, pod := range pods {
		found := false
		for _, c := range pod.list("spec", "template", "spec", "containers") {
			for _, port := range c.list("ports") {
				found = found || port.text("name") == name
			}
		}
		if !found {
			r.problem("%s %s names the port %q, which %s has not", from.kind(), from.name(), name, pod.name())
		}
	}
}

func (r *references) servicePort(from object, service string, port any) {
	r.checked++
	for _, o := range r.objects {
		if o.kind() == "Service" && o.name() == service {
			for _, p := range o.list("spec", "ports") {
				if p.at("name") == port || p.at("port") == port {
					return
				}
			}
		}
	}
	r.problem("%s %s refers to port %v of the service %s", from.kind(), from.name(), port, service)
}

func matches(selector, labels any) bool {
	want, _ := selector.(map[string]any)
	got, _ := labels.(map[string]any)
	for key, value := range want {
		if got[key] != value {
			return false
		}
	}
	return len(want) > 0
}
