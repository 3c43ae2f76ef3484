// Direct online SGD of the two-layer student, the literal algorithm in double precision: one block a run, weights in shared
// memory.  Shares no code with the package.  Input: one job a line (benchmarks/direct_sgd.py --jobs); output file: for each
// job a line of '# name', then one line a run: step of divergence or -1, P alignment times, P recovery times (flow times).
#include <cstdio>
#include <cstdlib>
#include <cmath>
#include <cstring>
struct Rng { unsigned long long a,b; float spare; bool has; };
__device__ inline unsigned long long smix(unsigned long long&x){ unsigned long long z=(x+=0x9E3779B97F4A7C15ull); z=(z^(z>>30))*0xBF58476D1CE4E5B9ull; z=(z^(z>>27))*0x94D049BB133111EBull; return z^(z>>31);}
__device__ inline unsigned long long nxt(Rng&r){ unsigned long long s1=r.a,s0=r.b,o=s0+s1; r.a=s0; s1^=s1<<23; r.b=s1^s0^(s1>>18)^(s0>>5); return o;}
__device__ inline float2 normal2(Rng&r){ unsigned long long o=nxt(r); float u=((unsigned)(o>>32)+0.5f)*2.3283064e-10f, v=((unsigned)o)*2.3283064e-10f; float R=sqrtf(-2.f*logf(u)); float s,c; sincospif(2.f*v,&s,&c); return make_float2(R*c,R*s);}
#define CK(x) do{cudaError_t e=(x); if(e!=cudaSuccess){fprintf(stderr,"%s line %d\n",cudaGetErrorString(e),__LINE__);exit(1);}}while(0)
typedef double R;
struct Par { int d,P,m,B,act,start; double eta,tau,s0; long long steps; unsigned long long seed; double a[64]; };
__device__ inline void sig(int act,R u, R&v, R&s){
  if(act==4){ v=(u*u*u*u-6*u*u+3)/sqrt(24.); s=(4*u*u*u-12*u)/sqrt(24.); }
  else if(act==6){ R q=u*u; v=(q*q*q-15*q*q+45*q-15)/sqrt(720.); s=(6*q*q*u-60*q*u+90*u)/sqrt(720.); }
  else { // cos(2x) without degrees 0 and 2 : c0=e^-2, c2=-4e^-2/sqrt2
    R e=exp(-2.); v=cos(2*u)-e+2*e*(u*u-1); s=-2*sin(2*u)+4*e*u; }
}
// shared: v[m*d], n[m], xs[64], red[W*m], coef
extern __shared__ R sh[];
__global__ void run(const Par par,double* align,double* rec,long long* div){
  int d=par.d,P=par.P,m=par.m,B=par.B,T=blockDim.x,tid=threadIdx.x,lane=tid&31,w=tid>>5,W=T>>5;
  R*v=sh; R*n=v+m*d; R*xs=n+m; R*red=xs+64; R*al=red+W*(m+1); R*be=al+m; R*acc=be+m; // acc only B>1
  R*asum=B>1?acc+m*d:acc; 
  __shared__ R delta,x2; __shared__ int stop;
  Rng st; { unsigned long long z=par.seed*0x1000003ull+((unsigned long long)blockIdx.x*T+tid)*0x632BE59BD9B4E019ull; st.a=smix(z); st.b=smix(z); for(int i=0;i<8;i++) nxt(st); }
  // start
  for(int k=0;k<m;k++) for(int i=tid;i<d;i+=T) v[k*d+i]= par.start? (i==k?1.0:0.0) : (double)normal2(st).x;
  if(tid==0) stop=0;
  __syncthreads();
  for(int k=w;k<m;k+=W){ R s=0; for(int i=lane;i<d;i+=32) s+=v[k*d+i]*v[k*d+i]; for(int o=16;o;o>>=1) s+=__shfl_xor_sync(~0u,s,o);
    R f=par.s0/sqrt(s); for(int i=lane;i<d;i+=32) v[k*d+i]*=f; if(lane==0) n[k]=par.s0*par.s0; }
  for(int p=tid;p<P;p+=T){ align[blockIdx.x*P+p]=INFINITY; rec[blockIdx.x*P+p]=INFINITY; }
  if(tid==0) div[blockIdx.x]=-1;
  __syncthreads();
  long long next=1; 
  R x[16]; // up to d/T
  for(long long t=1;t<=par.steps;t++){
    if(B>1){ for(int i=tid;i<m*d;i+=T) acc[i]=0; if(tid<m) asum[tid]=0; }
    for(int b=0;b<B;b++){
      int J=0; R q=0;
      for(int i=tid;i<d;i+=2*T){ float2 g=normal2(st); x[J++]=g.x; if(i+T<d) x[J++]=g.y; }
      J=0; for(int i=tid;i<d;i+=T,J++){ q+=x[J]*x[J]; if(i<P) xs[i]=x[J]; }
      for(int k=0;k<m;k++){ R s=0; J=0; for(int i=tid;i<d;i+=T,J++) s+=v[k*d+i]*x[J]; for(int o=16;o;o>>=1) s+=__shfl_xor_sync(~0u,s,o); if(lane==0) red[w*(m+1)+k]=s; }
      for(int o=16;o;o>>=1) q+=__shfl_xor_sync(~0u,q,o); if(lane==0) red[w*(m+1)+m]=q;
      R noise=0; if(tid==0 && par.tau>0) noise=par.tau*(double)normal2(st).x;
      __syncthreads();
      if(w==0){ // one warp: errors
        R dl=0; 
        for(int k=lane;k<m;k+=32){ R s=0; for(int j=0;j<W;j++) s+=red[j*(m+1)+k]; R u=s/sqrt(n[k]),a,g; sig(par.act,u,a,g); al[k]=2*a-u*g; be[k]=g*sqrt(n[k]); dl+=n[k]*a; red[k]=s; }
        for(int p=lane;p<P;p+=32){ R a,g; sig(par.act,xs[p],a,g); dl-=par.a[p]*a; }
        if(lane==0) dl-=noise;
        for(int o=16;o;o>>=1) dl+=__shfl_xor_sync(~0u,dl,o);
        if(lane==0){ R s=0; for(int j=0;j<W;j++) s+=red[j*(m+1)+m]; x2=s; delta=dl; }
        __syncwarp();
        R e=par.eta/B*delta;
        for(int k=lane;k<m;k+=32){ al[k]*=-e; be[k]*=-e; }
        __syncwarp();
        if(B==1) for(int k=lane;k<m;k+=32){ R s=red[k],A=1+al[k]; n[k]=A*A*n[k]+2*A*be[k]*s+be[k]*be[k]*x2; }
      }
      __syncthreads();
      if(B==1){ for(int k=0;k<m;k++){ R A=1+al[k],b2=be[k]; J=0; for(int i=tid;i<d;i+=T,J++) v[k*d+i]=A*v[k*d+i]+b2*x[J]; } }
      else { for(int k=0;k<m;k++){ R b2=be[k]; J=0; for(int i=tid;i<d;i+=T,J++) acc[k*d+i]+=b2*x[J]; } if(tid<m) asum[tid]+=al[tid]; __syncthreads(); }
    }
    if(B>1){ for(int k=0;k<m;k++){ R A=1+asum[k]; for(int i=tid;i<d;i+=T) v[k*d+i]=A*v[k*d+i]+acc[k*d+i]; } __syncthreads();
      for(int k=w;k<m;k+=W){ R s=0; for(int i=lane;i<d;i+=32) s+=v[k*d+i]*v[k*d+i]; for(int o=16;o;o>>=1) s+=__shfl_xor_sync(~0u,s,o); if(lane==0) n[k]=s; } __syncthreads(); }
    if(t>=next||t==par.steps){
      next=t+(t/500>0?t/500:1);
      __syncthreads();
      if(B==1) { for(int k=w;k<m;k+=W){ R s=0; for(int i=lane;i<d;i+=32) s+=v[k*d+i]*v[k*d+i]; for(int o=16;o;o>>=1) s+=__shfl_xor_sync(~0u,s,o); if(lane==0) n[k]=s; } __syncthreads(); }
      if(tid<P){ R best=0,s=0; for(int k=0;k<m;k++){ R r2=v[k*d+tid]*v[k*d+tid]; s+=r2; r2/=n[k]; if(r2>best) best=r2; }
        R at=par.eta*(double)t; int o=blockIdx.x*P+tid; if(best>=.5&&isinf(align[o])) align[o]=at; if(s>=.5*par.a[tid]&&isinf(rec[o])) rec[o]=at; }
      if(tid==0){ bool bad=false; for(int k=0;k<m;k++){ if(!(n[k]<1e6)) bad=true; } if(bad){ stop=1; div[blockIdx.x]=t; } }
      __syncthreads();
      if(stop) return;
    }
  }
}

struct Job { char name[128]; Par h; int runs; double *al,*re; long long*dv; cudaStream_t st; cudaEvent_t a,b; };
int main(int argc,char**argv){
  static char line[8192]; FILE*out=fopen(argv[1],"w"); static Job jobs[512]; int nj=0;
  while(fgets(line,sizeof line,stdin)){
    Job&J=jobs[nj]; Par&h=J.h; memset(&h,0,sizeof h); int off=0; double steps;
    if(sscanf(line,"%127s %d %d %d %d %d %d %lf %lf %lf %lf %d%n",J.name,&h.act,&h.d,&h.P,&h.m,&h.B,&h.start,&h.eta,&h.tau,&h.s0,&steps,&J.runs,&off)<12) continue;
    h.steps=(long long)steps; h.seed=12345; char*s=line+off; for(int p=0;p<h.P;p++) h.a[p]=strtod(s,&s);
    int T=h.d<=64?32:h.d<=256?64:128;
    size_t bytes=sizeof(R)*((size_t)h.m*h.d*(h.B>1?2:1)+h.m+64+(T/32)*(h.m+1)+4*h.m);
    CK(cudaFuncSetAttribute(run,cudaFuncAttributeMaxDynamicSharedMemorySize,200*1024));
    CK(cudaMalloc(&J.al,8L*J.runs*h.P)); CK(cudaMalloc(&J.re,8L*J.runs*h.P)); CK(cudaMalloc(&J.dv,8L*J.runs));
    CK(cudaStreamCreateWithFlags(&J.st,cudaStreamNonBlocking)); cudaEventCreate(&J.a); cudaEventCreate(&J.b);
    cudaEventRecord(J.a,J.st); run<<<J.runs,T,bytes,J.st>>>(h,J.al,J.re,J.dv); CK(cudaGetLastError()); cudaEventRecord(J.b,J.st); nj++;
  }
  for(int j=0;j<nj;j++){ Job&J=jobs[j]; Par&h=J.h; CK(cudaStreamSynchronize(J.st)); float ms; cudaEventElapsedTime(&ms,J.a,J.b);
    static double al[1<<20],re[1<<20]; static long long dv[1<<16];
    CK(cudaMemcpy(al,J.al,8L*J.runs*h.P,cudaMemcpyDeviceToHost)); CK(cudaMemcpy(re,J.re,8L*J.runs*h.P,cudaMemcpyDeviceToHost)); CK(cudaMemcpy(dv,J.dv,8L*J.runs,cudaMemcpyDeviceToHost));
    int nd=0; for(int i=0;i<J.runs;i++) nd+=dv[i]>=0;
    printf("%s %.1f s diverged %d of %d\n",J.name,ms/1e3,nd,J.runs); fflush(stdout);
    fprintf(out,"# %s\n",J.name);
    for(int i=0;i<J.runs;i++){ fprintf(out,"%lld",dv[i]); for(int p=0;p<h.P;p++) fprintf(out," %.6g",al[i*h.P+p]); for(int p=0;p<h.P;p++) fprintf(out," %.6g",re[i*h.P+p]); fprintf(out,"\n"); }
    fflush(out); }
  return 0;
}
